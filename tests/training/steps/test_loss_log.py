"""Means of losses against plain averages, also after a resume."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from hf_vitret.training.steps.loss_log import LossLog


def same(mean: torch.Tensor) -> torch.Tensor:
    return mean


def terms(value: float) -> dict[str, torch.Tensor]:
    return {"loss": torch.tensor(value, requires_grad=True), "koleo": torch.tensor(-value)}


def test_means_are_since_the_last_call_and_over_the_run() -> None:
    log = LossLog()
    for value in (1.0, 2.0, 6.0):
        log.add(terms(value))
    assert log.means(same) == {"loss": 3.0, "koleo": -3.0}
    log.add(terms(5.0))
    assert log.means(same) == {"loss": 5.0, "koleo": -5.0}
    assert log.run_mean("loss", same) == pytest.approx(14 / 4)


def test_without_a_batch_there_are_no_means() -> None:
    log = LossLog()
    assert log.means(same) == {}
    assert log.run_mean("loss", same) is None
    log.add(terms(1.0))
    log.means(same)
    assert log.means(same) == {}


def test_a_resumed_log_continues_its_sums() -> None:
    whole, first, second = LossLog(), LossLog(), LossLog()
    values = torch.rand(7, generator=torch.Generator().manual_seed(0)).tolist()
    for value in values:
        whole.add(terms(value))
    for value in values[:3]:
        first.add(terms(value))
    second.load_state_dict(first.state_dict())
    for value in values[3:]:
        second.add(terms(value))
    assert second.run_mean("loss", same) == whole.run_mean("loss", same)
    assert second.means(same) == whole.means(same)


def test_the_average_over_processes_is_taken() -> None:
    log = LossLog()
    log.add(terms(1.0))
    assert log.means(lambda mean: mean * 10) == {"loss": 10.0, "koleo": -10.0}


def test_sums_of_a_first_step_can_be_saved(tmp_path: Path) -> None:
    log = LossLog()
    log.add(terms(2.0))
    save_file(log.state_dict(), tmp_path / "log.safetensors")
    assert load_file(tmp_path / "log.safetensors") == {
        **{"loss": 2.0, "koleo": -2.0, "count": 1.0},
        **{"run.loss": 2.0, "run.koleo": -2.0, "run.count": 1.0},
    }
