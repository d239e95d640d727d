"""The command line itself: help and version at once, bad input as a message, the exit statuses."""

import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import pytest

import hf_vitret
from hf_vitret.cli import command_table
from hf_vitret.cli import main as cli
from hf_vitret.cli.output import add_output_options, output_of
from tests import ROOT
from tests.cli.loaded_modules import run_and_list
from tests.warm_process import run_warm


@pytest.fixture
def command(monkeypatch):
    """Give a command `try` that raises or returns what the test puts into its `outcome`."""
    module = ModuleType("hf_vitret.cli.commands.try", "Try.\n\n  hf-vitret try 3  100%\n")
    module.outcome = 0

    def add_arguments(parser):
        parser.add_argument("number", type=int)
        parser.add_argument("--step_size", type=int, default=7, help="how large")
        parser.add_argument("--name", help="how called")
        add_output_options(parser)

    def run(options):
        module.options = options
        print("a library's line")
        output_of(options).say("a line")
        if isinstance(module.outcome, BaseException):
            raise module.outcome
        output_of(options).result("seven", {"number": 7})
        return module.outcome

    module.add_arguments, module.run = add_arguments, run
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for owner in (cli, command_table):
        monkeypatch.setattr(owner, "COMMANDS", (*command_table.COMMANDS, "try"))
    monkeypatch.setattr("hf_vitret.cli.progress.configure_progress", lambda **_: None)
    return module


@pytest.mark.parametrize("status", [0, 1])
def test_a_command_gets_its_options_and_gives_the_status(command, status):
    command.outcome = status
    assert cli.main(["try", "5", "--step_size", "3"]) == status
    given = vars(command.options)
    assert [given[name] for name in ("number", "step_size", "name")] == [5, 3, None]


@pytest.mark.parametrize(
    ("option", "out", "err"),
    [
        ([], "a library's line\na line\nseven\n", ""),
        (["--json"], '{"number": 7}\n', "a library's line\na line\n"),
        (["--quiet"], "seven\n", ""),
        (["-q", "--json"], '{"number": 7}\n', ""),
    ],
)
def test_what_goes_where(command, capsys, option, out, err):
    assert cli.main(["try", "5", *option]) == 0
    printed = capsys.readouterr()
    assert ("".join(printed.out.split()), printed.err) == ("".join(out.split()), err)


@pytest.mark.parametrize("kind", [ValueError, FileNotFoundError, ImportError])
def test_bad_input_is_a_message(command, capsys, kind):
    command.outcome = kind("expected a spoon; got a fork")
    assert cli.main(["try", "5", "--quiet"]) == 2
    assert capsys.readouterr() == ("", "error: expected a spoon; got a fork\n")


@pytest.mark.parametrize("option", ["-v", "--verbose"])
def test_verbose_shows_where_bad_input_was_found(command, capsys, option):
    command.outcome = ValueError("expected a spoon; got a fork")
    assert cli.main(["try", "5", option]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback ")
    assert err.endswith("\nerror: expected a spoon; got a fork\n")


def test_of_several_processes_one_says_what_is_wrong(command, monkeypatch, capsys):
    command.outcome = ValueError("expected a spoon; got a fork")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert cli.main(["try", "5"]) == 2
    assert capsys.readouterr().err == ""


def test_ctrl_c_is_130_and_says_what_is_kept(command, capsys):
    command.outcome = KeyboardInterrupt()
    assert cli.main(["try", "5"]) == 130
    assert capsys.readouterr().err == "\ninterrupted: nothing was changed\n"
    command.interruption = lambda options: f"{options.number} spoons are kept; the same command goes on"
    assert cli.main(["try", "5"]) == 130
    assert capsys.readouterr().err == "\ninterrupted: 5 spoons are kept; the same command goes on\n"


# The others write what they make at their end, in one step.
KEEPING = ("demo", "prepare", "train", "embed", "index", "search", "serve", "upgrade", "ingest")


@pytest.mark.parametrize("name", KEEPING)
def test_each_command_that_keeps_unfinished_work_says_so_after_ctrl_c(name):
    assert callable(command_table.load_command(name).interruption)


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["try", "five"], "argument number: invalid int value: 'five'"),
        (["try"], "the following arguments are required: number"),
        (["try", "5", "--colour", "red"], "there is no option --colour"),
        (["try", "5", "--stepsize", "3"], "there is no option --stepsize; did you mean --step_size?"),
        (["try", "5", "6"], "expected no further argument; got 6"),
    ],
)
def test_options_that_are_not_understood(command, capsys, arguments, message):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", f"error: {message}\nhf-vitret try --help lists the options\n")


@pytest.mark.parametrize(
    ("name", "option", "near"),
    [
        ("train", "--max_step", "--max_steps"),
        ("train", "--lr_scheduler", "--lr_scheduler_type"),
        ("evaluate", "--test-fractoin", "--test_fraction"),
        ("embed", "--output-dri", "--output_dir"),
        ("embed", "--no-normalise", "--no-normalize"),
        ("search", "--minscore", "--min_score"),
        ("serve", "--image-dirs", "--image_dir"),
        ("index", "--memory_budgets", "--memory_budget"),
    ],
)
def test_a_mistyped_option_gets_the_nearest(capsys, name, option, near):
    line = {"search": ["index", "photo.jpg"], "train": ["photos"]}.get(name, ["photos", "--output_dir", "x"])
    line += [] if name in ("train", "search", "serve", "index") else ["--model", "model"]
    line = ["index"] if name == "serve" else line
    with pytest.raises(SystemExit) as ended:
        cli.main([name, *line, option, "3"])
    assert ended.value.code == 2
    assert f"there is no option {option}; did you mean {near}?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "near"), [("doktor", "doctor"), ("serch", "search"), ("evalute", "evaluate"), ("ingets", "ingest")]
)
def test_a_mistyped_command_gets_the_nearest(capsys, typed, near):
    assert cli.main([typed, "--model", "x"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"error: there is no command {typed}; did you mean {near}?\nhf-vitret --help lists the commands\n"


def test_a_command_that_is_like_none(capsys):
    assert cli.main(["xyz"]) == 2
    assert capsys.readouterr().err == "error: there is no command xyz\nhf-vitret --help lists the commands\n"


def test_a_mistyped_option_before_any_command(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--verison"])
    assert ended.value.code == 2
    assert "there is no option --verison; did you mean --version?" in capsys.readouterr().err


def test_without_arguments_it_prints_its_help(capsys):
    assert cli.main([]) == 0
    bare = capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    assert ended.value.code == 0
    assert capsys.readouterr() == bare
    lines = bare.out.splitlines()
    for name in command_table.COMMANDS:
        summary = command_table.load_command(name).__doc__.splitlines()[0]
        assert f"  {name:10}{summary}" in lines


def test_the_installed_program_is_this_one():
    setup = ConfigParser()
    setup.read(Path(cli.__file__).parents[2] / "setup.cfg")
    name, _, target = setup["options.entry_points"]["console_scripts"].strip().partition(" = ")
    assert name == "hf-vitret"
    assert EntryPoint(name, target, "console_scripts").load() is cli.main


def test_python_m_is_the_same(tmp_path):
    environment = {"PYTHONPATH": str(ROOT)}
    program = "import runpy; runpy.run_module('hf_vitret', run_name='__main__', alter_sys=True)"
    for arguments in (["--version"], [], ["doktor"], ["index", "--help"], ["search", "nowhere", "none.jpg"]):
        module = run_warm(program, *arguments, folder=tmp_path, environment=environment)
        script = run_warm(
            "import sys; from hf_vitret.cli.main import main; sys.exit(main())",
            *arguments,
            folder=tmp_path,
            environment=environment,
        )
        assert (module.returncode, module.stdout, module.stderr) == (script.returncode, script.stdout, script.stderr)
    shown = subprocess.run(
        [sys.executable, "-m", "hf_vitret", "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env=environment,
    )
    assert shown.stdout == f"hf-vitret {hf_vitret.__version__}\n"


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"hf-vitret {hf_vitret.__version__}\n"


# The parser of train is made of transformers' dataclasses.
@pytest.mark.parametrize("name", ["", *(name for name in command_table.COMMANDS if name != "train")])
def test_help_imports_nothing_heavy(name):
    heavy = ("torch", "transformers", "datasets", "pyarrow", "tqdm")
    status, printed, loaded = run_and_list([*name.split(), "--help"], heavy)
    assert status == 0
    assert printed.startswith("usage: hf-vitret")
    assert loaded == []
