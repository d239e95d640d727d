"""Intervals of a run: those of the same queries scored by a naive loop."""

import doctest

import pytest
import torch

from hf_vitret.evaluation.reporting.bootstrap import bootstrap_interval, compare
from hf_vitret.workflows.evaluate import confidence as module
from hf_vitret.workflows.evaluate.confidence import confidence


def test_examples() -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_intervals_and_differences_are_those_of_the_bootstrap() -> None:
    generator = torch.Generator().manual_seed(1)
    before, after = (torch.rand(30, generator=generator, dtype=torch.float64) for _ in range(2))
    found = confidence({"a": {"mrr": before}, "b": {"mrr": after}})
    assert found["intervals"] == {
        title: {"mrr": vars(bootstrap_interval(each))} for title, each in (("a", before), ("b", after))
    }
    assert found["differences"] == {"mrr": vars(compare(after, before))}
    assert found["differences"]["mrr"]["difference"] == pytest.approx(float(after.mean() - before.mean()))


def test_nothing_is_made_up_for_several_processes() -> None:
    assert confidence({"a": {}, "b": {}}) == {"intervals": {}, "differences": {}}
