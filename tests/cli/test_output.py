"""What goes to which stream, labels, quoting of the next command, and JSON."""

import json
import math
import shlex
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest

from hf_vitret.cli.output import Output, add_output_options, labelled, output_of


def print_all(output: Output) -> None:
    with output.redirected():
        print("a library's line")
        output.say("a line")
        output.note("Label", "its text")
        output.result("the result", {"value": 1})


@pytest.mark.parametrize(
    ("as_json", "is_quiet", "out", "err"),
    [
        (False, False, ["a library's line", "a line", "Label        its text", "the result"], []),
        (True, False, {"value": 1}, ["a library's line", "a line", "Label        its text"]),
        (False, True, ["the result"], []),
        (True, True, {"value": 1}, []),
    ],
)
def test_the_result_is_kept_apart(
    capsys: pytest.CaptureFixture[str], as_json: bool, is_quiet: bool, out: object, err: list[str]
) -> None:
    print_all(Output(as_json=as_json, is_quiet=is_quiet))
    printed = capsys.readouterr()
    assert (json.loads(printed.out) if as_json else printed.out.splitlines()) == out
    assert printed.err.splitlines() == err


def test_standard_output_is_given_back(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(is_quiet=True)
    with pytest.raises(KeyError), output.redirected():
        print("lost")
        raise KeyError
    print("shown")
    assert capsys.readouterr().out == "shown\n"


def test_json_has_null_where_a_number_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).result("", {"a": math.nan, "b": [math.inf, 1.5], "path": Path("a b")})
    out = capsys.readouterr().out
    assert out.endswith("\n")
    assert json.loads(out, parse_constant=pytest.fail) == {"a": None, "b": [None, 1.5], "path": "a b"}


def test_an_empty_result_is_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    Output().result("", None)
    assert capsys.readouterr().out == ""


def test_the_next_command_is_quoted_and_its_paths_are_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Output().next(["hf-vitret", "search", Path("my index"), tmp_path / "it's $one.png", "--where", "price<=20", "a/b"])
    label, *command = shlex.split(capsys.readouterr().out)
    assert label == "Next"
    assert command == [
        *("hf-vitret", "search", f"{tmp_path}/my index", f"{tmp_path}/it's $one.png"),
        *("--where", "price<=20", "a/b"),
    ]


def test_labels_stand_in_one_column() -> None:
    assert labelled(("Index", "a"), ("", "b"), ("Embeddings", "c")) == (
        "Index        a\n             b\nEmbeddings   c"
    )


def read(*line: str, **settings: bool) -> Namespace:
    parser = ArgumentParser()
    add_output_options(parser, **settings)
    return parser.parse_args(line)


def test_the_options_choose_the_output() -> None:
    options = read("--json", "-q")
    output = output_of(options)
    assert (output.as_json, output.is_quiet, options.verbose) == (True, True, False)
    assert output_of(options) is output
    output = output_of(read("-v"))
    assert (output.as_json, output.is_quiet) == (False, False)


def test_a_command_without_a_result_has_no_json() -> None:
    with pytest.raises(SystemExit):
        read("--json", has_result=False)
    assert not output_of(read(has_result=False)).as_json
