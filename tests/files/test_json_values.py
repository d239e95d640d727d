"""NaN and infinite numbers are null, whatever they lie in, and what is written is JSON by the letter."""

import doctest
import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_vitret.files import json_values as module
from hf_vitret.files.json_values import check_fields, json_text, json_values, null_as_nan, read_json, write_json

NUMBERS = st.floats() | st.integers() | st.booleans()
CONTENT = st.recursive(
    NUMBERS | st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


def strict(text: str) -> object:
    """Read JSON as RFC 8259 has it: Python's NaN and Infinity are errors."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def by_hand(value: object) -> object:
    if isinstance(value, dict):
        return {name: by_hand(one) for name, one in value.items()}
    if isinstance(value, list):
        return [by_hand(one) for one in value]
    return None if isinstance(value, float) and (math.isnan(value) or math.isinf(value)) else value


@given(CONTENT)
def test_what_is_no_finite_number_is_null_and_all_else_stays(content: object) -> None:
    assert strict(json_text(content)) == by_hand(content) == json_values(content)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_there_is_one_rule(value: float) -> None:
    assert json_values({"a": (value, [value])}) == {"a": [None, [None]]}


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = write_json(tmp_path / "new" / "results.json", {"name": "Schraubenschlüssel", "map": math.nan})
    assert read_json(path) == {"name": "Schraubenschlüssel", "map": None}
    assert "Schraubenschlüssel" in path.read_text(encoding="utf-8")


def test_what_is_no_json_value_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = write_json(tmp_path / "results.json", {"a": 1})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_json(path, {"a": object()})
    assert read_json(path) == {"a": 1}


@pytest.mark.parametrize("content", [b"{", b"\xff", b""])
def test_a_damaged_file_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "results.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"expected JSON in .*results\.json"):
        read_json(tmp_path / "results.json")


def test_another_kind_of_file_is_named() -> None:
    with pytest.raises(ValueError, match=r"expected the fields a, b in x\.json; got a: another kind of file"):
        check_fields({"a": 1}, ["a", "b"], "x.json")


def test_null_is_nan_again() -> None:
    assert math.isnan(null_as_nan(json_values({"map": math.inf}))["map"])


def test_examples() -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
