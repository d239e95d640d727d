"""The command line itself: help and version at once, bad input as a message, status 2."""

import sys
from configparser import ConfigParser
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

import hf_vitret
from hf_vitret.cli import main as cli
from tests.cli.loaded_modules import run_and_list


@pytest.fixture
def command(monkeypatch):
    """Give a command `try` that raises or returns what the test puts into its `outcome`."""
    module = ModuleType("hf_vitret_test_command", "Try.\n\n  hf-vitret try 3  100%\n")
    module.outcome = 0

    def add_arguments(parser):
        parser.add_argument("number", type=int)
        parser.add_argument("--size", type=int, default=7, help="how large")
        parser.add_argument("--name", help="how called")

    def run(options):
        module.options = options
        if isinstance(module.outcome, Exception):
            raise module.outcome
        return module.outcome

    module.add_arguments, module.run = add_arguments, run
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cli.COMMANDS, "try", module.__name__)
    return module


@pytest.mark.parametrize("status", [0, 1])
def test_a_command_gets_its_options_and_gives_the_status(command, status):
    command.outcome = status
    assert cli.main(["try", "5", "--size", "3"]) == status
    assert vars(command.options) == {"number": 5, "size": 3, "name": None}


@pytest.mark.parametrize("kind", [ValueError, FileNotFoundError, ImportError])
def test_bad_input_is_a_message(command, capsys, kind):
    command.outcome = kind("expected a spoon; got a fork")
    assert cli.main(["try", "5"]) == 2
    assert capsys.readouterr() == ("", "error: expected a spoon; got a fork\n")


def test_a_bug_is_not_hidden(command):
    command.outcome = KeyError("bug")
    with pytest.raises(KeyError):
        cli.main(["try", "5"])


def test_the_help_of_a_command_is_its_docstring(command, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["try", "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "Try.\n\n  hf-vitret try 3  100%\n" in text
    assert "how large (default: 7)" in text
    assert "how called\n" in text


@pytest.mark.parametrize("arguments", [["try", "five"], ["try"], ["try", "5", "--colour", "red"]])
def test_options_that_are_not_understood(command, capsys, arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "hf-vitret try: error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["--help"], 0), ([], 2), (["doktor"], 2), (["--size", "doctor"], 2), (["--", "doctor"], 2)],
)
def test_without_a_command_all_are_named(capsys, arguments, status):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == status
    text = "".join(capsys.readouterr())
    assert "doctor" in text
    assert "prepare" in text


def test_the_installed_program_is_this_one():
    setup = ConfigParser()
    setup.read(Path(cli.__file__).parents[2] / "setup.cfg")
    name, _, target = setup["options.entry_points"]["console_scripts"].strip().partition(" = ")
    assert name == "hf-vitret"
    assert EntryPoint(name, target, "console_scripts").load() is cli.main


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"hf-vitret {hf_vitret.__version__}\n"


@pytest.mark.parametrize("name", ["", *cli.COMMANDS])
def test_help_imports_nothing_heavy(name):
    heavy = ("torch", "transformers", "datasets", "pyarrow", "tqdm")
    status, printed, loaded = run_and_list([*name.split(), "--help"], heavy)
    assert status == 0
    assert printed.startswith("usage: hf-vitret")
    assert loaded == []
