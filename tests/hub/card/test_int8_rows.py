"""The rows of an 8-bit graph: its scores, their differences from the model, and a dash for metrics not measured."""

import doctest

from hf_vitret.hub.card import int8_rows as module
from hf_vitret.hub.card.int8_rows import int8_rows

SCORES = {"off the shelf": {"recall_at_1": 0.1, "num_queries": 5}, "after training": {"recall_at_1": 0.5}}


def test_examples() -> None:
    assert doctest.testmod(module) == (0, 5)


def test_no_rows_if_nothing_was_measured() -> None:
    assert int8_rows({"scores": SCORES}) == {}
    assert int8_rows({"scores": {}}) == {}


def test_a_gain_has_its_sign() -> None:
    change = {"mean_a": 0.525, "mean_b": 0.5, "difference": 0.025, "low": -0.01, "high": 0.06}
    assert int8_rows({"scores": SCORES, "int8": {"recall_at_1": change, "map_at_r": change}}) == {
        "int8 (ONNX)": {"recall_at_1": "52.5"},
        "int8 minus float32": {"recall_at_1": "+2.5 (-1.0 to +6.0)"},
    }
