"""A file of settings reads as the command line does, and what is written reads as it was."""

import json
from pathlib import Path

import pytest

from hf_vitret.cli.options.config_file import config_text, read_config
from hf_vitret.cli.options.parser import CommandParser


@pytest.fixture
def parser() -> CommandParser:
    made = CommandParser("hf-vitret try")
    made.add_argument("data", nargs="?")
    made.add_argument("-c", "--config")
    made.add_argument("-b", "--batch_size", "--size_of_a_batch", dest="batch_size", type=int, default=1)
    made.add_argument("--rate", type=float, default=0.5)
    made.add_argument("--ks", type=int, nargs="+", default=[1])
    made.add_argument("--title")
    made.add_argument("--fast", action="store_true")
    made.add_argument("--pinned", type=lambda text: text == "true", nargs="?", default=True)
    made.add_argument("--no_pinned", action="store_false", dest="pinned")
    made.add_argument("--more", type=json.loads)
    return made


def written(tmp_path: Path, text: str, name: str = "run.yaml") -> str:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return str(path)


SETTINGS = {"batch_size": 8, "rate": 1e-5, "ks": [1, 5], "title": "-x é: 5", "fast": True, "more": {"a": [1]}}


@pytest.mark.parametrize("name", ["run.yaml", "run.yml", "run.json"])
def test_values_of_every_kind(parser: CommandParser, tmp_path: Path, name: str) -> None:
    text = json.dumps(SETTINGS) if name.endswith("json") else config_text(SETTINGS, "one\ntwo")
    arguments, positional = read_config(written(tmp_path, text, name), parser)
    assert positional == {}
    values = vars(parser.parse_args(arguments))
    assert {key: values[key] for key in SETTINGS} == SETTINGS
    assert values["pinned"] is True


def test_what_is_written_starts_with_its_comment_and_keeps_the_order() -> None:
    text = config_text({"title": "b", "batch_size": 2}, "to repeat:\nhf-vitret")
    assert text == "# to repeat:\n# hf-vitret\ntitle: b\nbatch_size: 2\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("pinned: false", False), ("pinned: true", True), ("no_pinned: true", False), ("no_pinned: false", True)],
)
def test_switches_that_have_an_opposite(parser: CommandParser, tmp_path: Path, text: str, expected: bool) -> None:
    arguments, _ = read_config(written(tmp_path, text), parser)
    assert parser.parse_args(arguments).pinned is expected


def test_other_spellings_nulls_and_positional_settings(parser: CommandParser, tmp_path: Path) -> None:
    text = "data: my photos\nsize_of_a_batch: 3\nrate: null\nfast: false\n"
    arguments, positional = read_config(written(tmp_path, text), parser, ["data"])
    assert positional == {"data": "my photos"}
    values = parser.parse_args(arguments)
    assert (values.batch_size, values.rate, values.fast) == (3, 0.5, False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_sise: 3", r"there is no setting batch_sise: did you mean batch_size\?"),
        ("dada: x", r"there is no setting dada: did you mean data\?"),
        ("qqqqq: 3", r"there is no setting qqqqq$"),
        ("config: other.yaml", "there is no setting config"),
        ("help: true", "there is no setting help"),
        ("fast: 3", "expected true or false as fast in .*; got 3"),
        ("- 1\n- 2", "expected settings by name in .*, as max_steps: 500; got list"),
        ("3: 4", "expected settings by name"),
        ("", "expected settings by name in .*; got NoneType"),
        ("a: [1", "expected YAML or JSON in "),
    ],
)
def test_what_is_no_file_of_settings(parser: CommandParser, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_config(written(tmp_path, text), parser, ["data"])


def test_where_there_is_no_file(parser: CommandParser, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"for --config; there is no file .*gone\.yaml"):
        read_config(str(tmp_path / "gone.yaml"), parser)
    with pytest.raises(
        ValueError, match=r"expected a file of settings \(\.yaml, \.yml, \.json\) for --config; got .*\.txt"
    ):
        read_config(written(tmp_path, "fast: true", "run.txt"), parser)
    (tmp_path / "run.yaml").write_bytes(b"title: \xff")
    with pytest.raises(ValueError, match="expected YAML or JSON"):
        read_config(str(tmp_path / "run.yaml"), parser)
