"""Runs that are killed and resumed end like one that was never stopped: in every bit and every logged number."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.training.checkpoints import resume_run
from tests.training.distributed.forked import Run, launch

# Settings that random numbers or the position of a checkpoint depend on.
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "workers": {"dataloader_num_workers": 2},
    "accumulation": {"gradient_accumulation_steps": 2, "memory_start_step": 2},
    "caching": {"micro_batch_size": 3, "bf16": True},
}


RUN = "tests.training.checkpoints.resume_run:run"


def digests(folder: Path, processes: int = 1) -> list[dict[str, Any]]:
    return [json.loads((folder / f"digest-{rank}.json").read_text()) for rank in range(processes)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_twice_and_resumed(variant: str, tmp_path: Path) -> None:
    changes = VARIANTS[variant]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    codes = launch(
        Run(RUN, [str(whole), changes, 0]),
        Run(RUN, [str(killed), changes, 6]),  # after a checkpoint, inside an epoch
        Run(RUN, [str(killed), changes, 12]),  # after a checkpoint of a resumed run
        Run(RUN, [str(killed), changes, 0]),
        may_die=True,
    )
    assert codes == [[0], [-signal.SIGKILL], [-signal.SIGKILL], [0]]
    assert digests(killed) == digests(whole)
    assert len(digests(whole)[0]["log"]) > resume_run.STEPS // 3


def test_resumed_after_its_last_step_it_takes_no_further_step(tmp_path: Path) -> None:
    """Such as a run killed in its last evaluation, after the last checkpoint."""
    changes = {"max_steps": 4}
    launch(Run(RUN, [str(tmp_path), changes, 0]))
    first = digests(tmp_path)
    launch(Run(RUN, [str(tmp_path), changes, 0]))
    assert digests(tmp_path) == first
    assert first[0]["log"][-1]["step"] == 4


def test_two_processes_killed_and_resumed(tmp_path: Path) -> None:
    changes = {"per_device_train_batch_size": 4}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    codes = launch(
        Run(RUN, [str(whole), changes, 0], 2),
        Run(RUN, [str(killed), changes, 8], 2),
        Run(RUN, [str(killed), changes, 0], 2),
        may_die=True,
    )
    assert codes == [[0, 0], [-signal.SIGKILL] * 2, [0, 0]]
    assert digests(killed, 2) == digests(whole, 2)
