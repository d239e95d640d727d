"""Bars in a terminal, a line now and then where stderr is none, and the bars of transformers' loading."""

import fcntl
import io
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tqdm.auto import tqdm
from tqdm.std import tqdm as standard

from hf_vitret.cli import progress
from tests import ROOT
from tests.training.tiny_backbones import tiny
from tests.warm_process import run_warm


class Clock:
    """A clock that tells the time that a test gives it."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give a clock that tqdm reads; tqdm is as it was after the test."""
    for name in ("display", "close", "clear", "__init__"):
        monkeypatch.setattr(standard, name, getattr(standard, name))
    clock = Clock()
    monkeypatch.setattr("tqdm.std.time", clock)
    monkeypatch.setattr(standard, "monitor_interval", 0)
    return clock


def task(clock: Clock, steps: int, seconds: float) -> str:
    """Return what a task of some steps prints, each of which takes some seconds."""
    stream = io.StringIO()
    for _ in tqdm(range(steps), desc="Embedding", file=stream, unit=" images"):
        clock.now += seconds
    return stream.getvalue()


def test_a_log_gets_a_line_every_half_minute(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress.configure_progress()
    printed = task(clock, 1000, 0.1)
    assert "\r" not in printed
    lines = printed.splitlines()
    assert len(lines) == 4  # at 30, 60 and 90 of 100 seconds, and the end
    done = [int(re.search(r"(\d+)/1000", line)[1]) for line in lines]  # type: ignore[index]
    assert done[:3] == pytest.approx([300, 600, 900], abs=5)
    assert done[3] == 1000
    for line in lines:
        assert line.startswith("Embedding: ")
        assert "images/s" in line  # the rate
    assert re.search(r"\[00:3\d<01:\d\d,", lines[0])  # time spent, and time left


def test_a_short_task_prints_no_line_into_a_log(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress.configure_progress()
    assert task(clock, 299, 0.1) == ""


def test_two_tasks_at_once_have_lines_of_their_own(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress.configure_progress()
    stream = io.StringIO()
    for _ in tqdm(range(2), desc="outer", file=stream):
        for _ in tqdm(range(7), desc="inner", file=stream):
            clock.now += 10
    assert [line.split(":")[0] for line in stream.getvalue().splitlines()] == [
        *("inner", "inner", "inner", "outer"),
        *("inner", "inner", "inner", "outer"),
    ]


def test_quiet_prints_nothing(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress.configure_progress(is_quiet=True)
    assert task(clock, 1000, 1.0) == ""


def test_a_task_that_is_closed_twice_or_disabled(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress.configure_progress()
    stream = io.StringIO()
    bar = tqdm(total=10, file=stream)
    clock.now = 40
    bar.update(4)
    bar.close()
    bar.close()
    tqdm(total=10, file=stream, disable=True).close()
    assert [line.split("|")[0].strip() for line in stream.getvalue().splitlines()] == ["40%"]


# A task of three seconds, or of a few milliseconds.
PROGRAM = """
import sys, time
from tqdm.auto import tqdm
from hf_vitret.cli.progress import configure_progress
configure_progress(is_quiet=sys.argv[2] == "quiet")
for _ in tqdm(range(15), desc="Embedding"):
    time.sleep(float(sys.argv[1]))
print("done")
"""


def in_a_terminal(*arguments: str) -> str:
    """Return what the program prints on its stderr, a terminal."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    line = [sys.executable, "-c", PROGRAM, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(line, stderr=theirs, stdout=subprocess.PIPE, env=environment)
    os.close(theirs)
    parts: list[bytes] = []
    try:
        while part := os.read(ours, 4096):
            parts.append(part)
    except OSError:  # how Linux reports that the other side was closed
        pass
    os.close(ours)
    assert process.communicate()[0] == b"done\n"
    assert process.returncode == 0
    return b"".join(parts).decode()


def test_a_terminal_gets_a_bar_with_rate_and_time_left() -> None:
    printed = in_a_terminal("0.15", "shown")
    assert printed.count("\r") > 3
    assert re.search(r"Embedding: +\d+%\|.*\d+/15 \[00:0\d<00:0\d, +[\d.]+it/s\]", printed)
    assert printed.rstrip().endswith("]")
    assert "15/15" in printed


def test_a_terminal_gets_no_bar_for_a_short_task_nor_when_quiet() -> None:
    assert in_a_terminal("0.001", "shown").strip() == ""
    assert in_a_terminal("0.1", "quiet") == ""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    tiny(embedding_dim=8).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def with_bars() -> dict[str, str]:
    """Return the environment of a user, in which the libraries draw bars."""
    return {name: value for name, value in os.environ.items() if name != "HF_HUB_DISABLE_PROGRESS_BARS"}


# The bars of transformers' loading are drawn where the process allows them.
LOADING = """
import sys
from hf_vitret.cli.progress import hide_loading
from hf_vitret.inference.load_model import load_model
if sys.argv[2] == "hidden":
    hide_loading()
load_model(sys.argv[1])
"""


@pytest.mark.parametrize("choice", ["hidden", "shown"])
def test_the_bars_of_loading_are_hidden_when_asked_for(model: Path, choice: str) -> None:
    result = run_warm(LOADING, model, choice, environment=with_bars())
    assert result.returncode == 0, result.stderr
    assert ("Loading weights" in result.stderr) == (choice == "shown")


COMMAND = "import sys; from hf_vitret.cli.main import main; sys.exit(main())"


@pytest.mark.parametrize("option", [[], ["--verbose"]])
def test_a_command_hides_them_without_verbose(model: Path, option: list[str]) -> None:
    """In a log a bar of more than half a minute is a line: here one of any time."""
    program = f"from hf_vitret.cli import progress; progress.INTERVAL = 0\n{COMMAND}"
    photos = model.parent / "photos"
    photos.mkdir()
    Image.new("RGB", (32, 32), "red").save(photos / "red.png")
    line = ["embed", "photos", "--model", "model", "--output_dir", "E", *option]
    result = run_warm(program, *line, folder=model.parent, environment=with_bars())
    assert result.returncode == 0, result.stderr
    assert ("Loading weights" in result.stderr) == bool(option)


@pytest.fixture
def transformers_logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("transformers.modeling_utils")
    before = logger.filters[:]
    yield logger
    logger.filters[:] = before


def test_tables_that_report_missing_weights_are_shown(
    transformers_logger: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers.utils import logging as transformers_logging

    monkeypatch.setattr(transformers_logging, "disable_progress_bar", lambda: None)
    progress.hide_loading()
    shown: list[Any] = []
    handler = logging.Handler()
    handler.emit = lambda record: shown.append(record.getMessage())  # type: ignore[method-assign]
    transformers_logger.addHandler(handler)
    try:
        for text in (
            "Model LOAD REPORT\nhead.weight | UNEXPECTED",
            "Model LOAD REPORT\nhead.weight | MISSING",
            "Model LOAD REPORT\nhead.weight | MISMATCH",
            "Another warning",
        ):
            transformers_logger.warning(text)
    finally:
        transformers_logger.removeHandler(handler)
    assert [text.split("| ")[-1] for text in shown] == ["MISSING", "MISMATCH", "Another warning"]
