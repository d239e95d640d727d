"""The parser of every command: spelling of options, its errors, its help."""

import pytest

from hf_vitret.cli.command_table import COMMANDS, command_parser
from hf_vitret.cli.options.parser import CommandParser, hide


@pytest.fixture
def parser() -> CommandParser:
    made = CommandParser("hf-vitret try", description="Try.\n\n  hf-vitret try 3  100%")
    made.add_argument("number", type=int)
    made.add_argument("-s", "--step_size", type=int, default=7, help="how large")
    made.add_argument("--name", help="how called")
    made.add_argument("--is_on", action="store_true", help="whether on")
    return made


@pytest.mark.parametrize(
    "line",
    [
        ["3", "--step_size", "4"],
        ["3", "--step-size", "4"],
        ["--step-size=4", "3"],
        ["--step_size=4", "3"],
        ["-s", "4", "3"],
        ["-s4", "3"],
    ],
)
def test_a_dash_stands_for_an_underscore(parser: CommandParser, line: list[str]) -> None:
    options = parser.parse_args(line)
    assert (options.number, options.step_size) == (3, 4)


def test_options_are_spelled_in_full(parser: CommandParser, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["3", "--step", "4"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: there is no option --step; did you mean --step_size?\n")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["3", "--step-sise=4"], "there is no option --step-sise; did you mean --step_size?"),
        (["3", "--ison"], "there is no option --ison; did you mean --is_on?"),
        (["3", "--zzz"], "there is no option --zzz"),
        (["3", "-z"], "there is no option -z"),
        (["3", "--nam", "x", "--ison"], "there is no option --nam; did you mean --name?; there is no option --ison;"),
        (["3", "4", "5"], "expected no further argument; got 4 5"),
        ([], "the following arguments are required: number"),
        (["x"], "argument number: invalid int value: 'x'"),
    ],
)
def test_what_is_not_understood_is_named(
    parser: CommandParser, capsys: pytest.CaptureFixture[str], line: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(line)
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {message}")
    assert err.endswith("\nhf-vitret try --help lists the options\n")


def test_the_help_has_the_description_as_it_is_and_defaults_that_say_something(parser: CommandParser) -> None:
    parser.parse_args(["3"])
    text = parser.format_help()
    assert "Try.\n\n  hf-vitret try 3  100%\n" in text
    assert "how large (default: 7)\n" in text
    assert "how called\n" in text
    assert "whether on\n" in text
    assert "--step-size" not in text


def test_hidden_options_are_read_all_the_same(parser: CommandParser) -> None:
    assert hide(parser, ["name"]) == 3  # --help, --step_size, --is_on
    assert "--step_size" not in parser.format_help()
    assert "--name" in parser.format_help()
    assert parser.parse_args(["3", "--step_size", "4"]).step_size == 4


SHORT = {
    "-o": "output_dir",
    "-m": "model",
    "-b": "batch_size",
    "-k": "k",
    "-n": "num_processes",
    "-c": "config",
    "-q": "quiet",
    "-v": "verbose",
    "-h": "help",
}
OF_TRAIN = {"-b": "per_device_train_batch_size"}  # as transformers calls it


@pytest.mark.parametrize("name", COMMANDS)
def test_a_short_option_means_the_same_in_every_command(name: str) -> None:
    parser = command_parser(name)
    for action in parser._actions:
        for text in action.option_strings:
            if not text.startswith("--"):
                assert action.dest in (SHORT[text], OF_TRAIN.get(text) if name == "train" else None)
    there = {action.dest: action.option_strings for action in parser._actions}
    for short, dest in SHORT.items():
        assert dest not in there or short in there[dest], dest


@pytest.mark.parametrize("name", COMMANDS)
def test_options_of_one_name_have_one_type_in_every_command(name: str) -> None:
    """The unit of a size is in its text, and a number is one of the same things everywhere."""
    types = {"image_size": int, "batch_size": int, "num_threads": int, "num_workers": int, "images_per_shard": int}
    parser = command_parser(name)
    for action in parser._actions:
        if action.dest in ("memory_budget", "shard_size", "max_upload"):
            assert getattr(action.type, "__name__", None) == "size", action.dest
        if action.dest in types and name != "train":
            assert action.type is types[action.dest], action.dest
    assert {"--quiet", "--verbose"} <= parser._option_string_actions.keys()
