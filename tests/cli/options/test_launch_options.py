"""Several processes: when they are started, with what, and the exit status that comes back."""

from argparse import ArgumentParser, Namespace
from pathlib import Path
from subprocess import CalledProcessError
from types import SimpleNamespace
from typing import Any

import pytest
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from hf_vitret.cli.command_table import command_parser
from hf_vitret.cli.options.launch_options import (
    add_launch_options,
    asks_for_launch,
    launch,
    without_launch_options,
)


def read(*line: str) -> Namespace:
    parser = ArgumentParser()
    add_launch_options(parser)
    return parser.parse_args(line)


@pytest.mark.parametrize(
    ("line", "asks"),
    [
        ([], False),
        (["-n", "1"], False),
        (["-n", "2"], True),
        (["--num_processes", "4"], True),
        (["--accelerate_config", "file.yaml"], True),
        (["--accelerate_config", "file.yaml", "-n", "1"], True),
    ],
)
def test_processes_are_started_where_several_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: list[str], asks: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.yaml").touch()
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    assert asks_for_launch(read(*line)) == asks


def test_a_command_without_these_options_starts_none() -> None:
    assert not asks_for_launch(Namespace())


def test_a_process_that_a_launcher_started_starts_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert not asks_for_launch(read())
    for line, name in ((["-n", "2"], "num_processes"), (["--accelerate_config", "file"], "accelerate_config")):
        with pytest.raises(ValueError, match=f"expected no --{name} in a process that a launcher has started"):
            asks_for_launch(read(*line))


def test_a_configuration_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(FileNotFoundError, match=r"--accelerate_config; there is no file no/file\.yaml"):
        asks_for_launch(read("--accelerate_config", "no/file.yaml"))


@pytest.mark.parametrize("number", ["0", "-2"])
def test_a_number_below_one_is_refused(monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(ValueError, match=f"expected --num_processes of 1 or more; got {number}"):
        asks_for_launch(read(f"--num_processes={number}"))


@pytest.mark.parametrize("name", ["train", "embed", "evaluate"])
def test_the_commands_that_share_their_work_have_them(name: str) -> None:
    known = command_parser(name)._option_string_actions
    assert {"-n", "--num_processes", "--accelerate_config"} <= known.keys()


@pytest.mark.parametrize(
    "line",
    [
        ["photos", "-n", "2", "--max_steps", "3"],
        ["--num_processes", "2", "photos", "--max_steps", "3"],
        ["photos", "--num-processes=2", "--max_steps", "3", "--accelerate-config", "a file"],
        ["photos", "--max_steps", "3", "--accelerate_config=x", "-n", "8"],
        ["photos", "-n4", "--max_steps", "3"],
    ],
)
def test_the_processes_get_the_other_arguments(line: list[str]) -> None:
    assert without_launch_options(line) == ["photos", "--max_steps", "3"]


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Give the launcher's options as it got them, and what it raises."""
    found = SimpleNamespace(options=None, raises=None)

    def launch_command(options: Any) -> None:
        found.options = options
        if found.raises is not None:
            raise found.raises

    monkeypatch.setattr("accelerate.commands.launch.launch_command", launch_command)
    return found


def test_the_launcher_runs_this_program_with_the_same_command(launched: SimpleNamespace) -> None:
    line = ["my photos", "-n", "2", "--model", "x"]
    assert launch("embed", line, read("-n", "2")) == 0
    options = launched.options
    assert (options.module, options.training_script) == (True, "hf_vitret")
    assert options.training_script_args == ["embed", "my photos", "--model", "x"]
    assert (options.num_processes, options.num_machines, options.config_file) == (2, 1, None)


def test_a_configuration_of_accelerate_decides_the_rest(launched: SimpleNamespace) -> None:
    line = ["photos", "--accelerate_config", "my file.yaml"]
    assert launch("train", line, read(*line[1:])) == 0
    options = launched.options
    assert (options.config_file, options.num_processes) == ("my file.yaml", None)
    assert not options.multi_gpu
    assert options.training_script_args == ["train", "photos"]


def failed(exitcode: int, timestamp: int) -> Any:
    return SimpleNamespace(exitcode=exitcode, timestamp=timestamp, message="", local_rank=0)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (CalledProcessError(2, "x"), 2),
        (CalledProcessError(-9, "x"), 137),
        (KeyboardInterrupt(), 130),
        (SignalException("Ctrl-C", 2), 130),
    ],
)
def test_the_status_is_that_of_the_processes(launched: SimpleNamespace, error: BaseException, status: int) -> None:
    launched.raises = error
    assert launch("embed", ["photos"], read("-n", "2")) == status


@pytest.mark.parametrize(("codes", "status"), [((1, 2), 1), ((-15, 2), 143), ((2, -15), 2)])
def test_of_several_that_failed_the_first_one_counts(
    launched: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, codes: tuple[int, int], status: int
) -> None:
    monkeypatch.setattr(ChildFailedError, "format_msg", lambda self: "")
    failures = {1: failed(codes[1], 20), 0: failed(codes[0], 10)}
    launched.raises = ChildFailedError("hf_vitret", failures)
    assert launch("embed", ["photos"], read("-n", "2")) == status
