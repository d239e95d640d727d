"""Intervals of a run: those of the same queries scored by a naive loop."""

import doctest

import pytest
import torch

from hf_vitret import RetrievalEvaluator
from hf_vitret.evaluation.reporting.bootstrap import bootstrap_interval, compare
from hf_vitret.experiment import confidence as module
from hf_vitret.experiment.confidence import confidence, query_values
from tests.training import runs


def test_examples() -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("has_gallery", [False, True])
@pytest.mark.parametrize("device", ["cpu", "mps"])  # which has no float64, and is left alone
def test_each_query_is_scored_in_its_place(has_gallery: bool, device: str) -> None:
    split = runs.shapes_dataset()["test"]
    gallery = runs.shapes_dataset()["train"].select(range(8)) if has_gallery else None
    if gallery is not None:  # the classes of the queries, in part
        gallery = gallery.remove_columns("label").add_column("label", [split[row]["label"] for row in range(8)])
    evaluator = RetrievalEvaluator(split, gallery, ks=[1])
    generator = torch.Generator().manual_seed(0)
    query = torch.nn.functional.normalize(torch.randn(len(split), 4, generator=generator), dim=1)
    searched = torch.nn.functional.normalize(torch.randn(8, 4, generator=generator), dim=1) if has_gallery else query
    found = query_values(evaluator, query, searched if has_gallery else None, torch.device(device))["recall_at_1"]
    labels = [example["label"] for example in split]
    expected = []
    for row, label in enumerate(labels):
        others = [place for place in range(len(searched)) if has_gallery or place != row]
        nearest = max(others, key=lambda place: float(query[row] @ searched[place]))
        is_right = labels[nearest] == label
        has_right = any(labels[place] == label for place in others)
        expected.append(float(is_right) if has_right else float("nan"))
    assert found.device.type == "cpu"
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), equal_nan=True)


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
