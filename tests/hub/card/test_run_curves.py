"""The drawn curves have the values of the log."""

import doctest
import json
import sys
from typing import Any

import numpy as np
import pytest

from hf_vitret.hub.card import run_curves
from hf_vitret.hub.card.run_curves import draw_run_curves, loss_curves, recall_curve
from tests import ROOT

SHOWN = ROOT / "model_cards" / "dinov2-small-icons" / "results.json"


@pytest.fixture
def results() -> dict[str, Any]:
    return json.loads(SHOWN.read_text(encoding="utf-8"))


def test_examples() -> None:
    result = doctest.testmod(run_curves)
    assert result.attempted > 0
    assert result.failed == 0


def test_losses_and_terms_are_drawn_step_by_step(results: dict[str, Any]) -> None:
    losses, _ = draw_run_curves(results).axes
    drawn = {line.get_label(): line.get_xydata() for line in losses.lines}
    assert list(drawn) == ["loss", "contrastive", "memory", "koleo"]
    lines = [line for line in results["log"] if "loss" in line]
    assert len(lines) == 16
    for name, points in drawn.items():
        np.testing.assert_array_equal(points, [(line["step"], line[name]) for line in lines])
    assert [text.get_text() for text in losses.get_legend().get_texts()] == list(drawn)


def test_recall_begins_off_the_shelf_and_ends_with_what_was_kept(results: dict[str, Any]) -> None:
    _, recall = draw_run_curves(results).axes
    curve, before, kept = (line.get_xydata() for line in recall.lines)
    scores = [100 * each["recall_at_1"] for each in results["scores"].values()]
    found = {each["step"]: 100 * each["eval_recall_at_1"] for each in results["log"] if "eval_recall_at_1" in each}
    assert len(found) > 2
    assert found.pop(0, scores[0]) == scores[0]
    np.testing.assert_allclose(curve, [(0, scores[0]), *found.items()])
    np.testing.assert_allclose(before, [(0, scores[0])])
    np.testing.assert_allclose(kept, [(400, scores[1])])
    assert [text.get_text() for text in recall.texts] == [f"off the shelf: {scores[0]:.1f}", f"kept: {scores[1]:.1f}"]


def test_the_last_evaluation_is_that_of_the_best_step() -> None:
    log = [{"eval_recall_at_1": share, "step": step} for step, share in ((2, 0.5), (4, 0.8), (6, 0.6))]
    log += [{"train_runtime": 1.0, "step": 6}, {"eval_recall_at_1": 0.8, "step": 6}]
    scores = {"before": {"recall_at_1": 0.2}, "after": {"recall_at_1": 0.8}}
    run = {"log": log, "scores": scores, "training": {"best_step": 4}}
    points, kept = recall_curve(run)
    assert points == [(0, 0.2), (2, 0.5), (4, 0.8), (6, 0.6)]
    assert kept == (4, 0.8)


def test_a_run_without_evaluations_or_with_a_loss_of_its_own() -> None:
    scores = {"before": {"recall_at_1": 0.2}, "after": {"recall_at_1": 0.8}}
    log = [{"loss": float("nan"), "supcon": 1.0, "grad_norm": 3.0, "step": 1}, {"loss": 2.0, "step": 2}]
    run = {"log": log, "scores": scores, "training": {"best_step": 2}}
    assert loss_curves(log)["supcon"] == [(1, 1.0)]
    losses, recall = draw_run_curves(run).axes
    assert [line.get_label() for line in losses.lines] == ["loss", "supcon"]
    np.testing.assert_allclose(recall.lines[0].get_xydata(), [(0, 20), (2, 80)])
    empty, _ = draw_run_curves(run | {"log": []}).axes
    assert not empty.lines


def test_a_run_that_measured_nothing_has_the_losses_alone(results: dict[str, Any]) -> None:
    with_scores, _ = draw_run_curves(results).axes
    (losses,) = draw_run_curves(results | {"scores": {}}).axes
    assert losses.get_ylabel() == "loss"
    drawn, expected = ({line.get_label(): line.get_xydata() for line in each.lines} for each in (losses, with_scores))
    assert list(drawn) == list(expected)
    for name, points in drawn.items():
        np.testing.assert_array_equal(points, expected[name])


def test_without_matplotlib_the_error_names_the_extra(results: dict[str, Any], monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"hf_vitret\[plots\]"):
        draw_run_curves(results)
