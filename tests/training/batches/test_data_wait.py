"""The share of time spent waiting for batches, on a clock that the test sets."""

from pathlib import Path

import pytest

from hf_vitret.training.batches import data_wait
from hf_vitret.training.batches.data_wait import DataWait
from tests.training import runs


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(data_wait.time, "perf_counter", clock.perf_counter)
    return clock


def take_batch(wait: DataWait, clock: Clock, seconds: float, step: float) -> None:
    with wait.of_batch():
        clock.now += seconds
    clock.now += step


def test_shares_of_time(clock: Clock) -> None:
    wait = DataWait()
    assert wait.share() == 0
    clock.now += 50  # the time before the first batch is not counted
    take_batch(wait, clock, 1, 3)
    take_batch(wait, clock, 2, 2)
    assert wait.recent_share() == pytest.approx(3 / 8)
    take_batch(wait, clock, 0, 2)
    assert wait.recent_share() == 0
    assert wait.share() == pytest.approx(3 / 10)


def test_the_trainer_logs_both(tmp_path: Path) -> None:
    trainer = runs.new_trainer(tmp_path, max_steps=4, logging_steps=2, eval_steps=4, save_steps=4)
    metrics = trainer.train().metrics
    shares = [line["data_wait"] for line in trainer.state.log_history if "data_wait" in line]
    assert len(shares) == 2
    assert all(0 < share < 1 for share in [*shares, metrics["train_data_wait"]])
