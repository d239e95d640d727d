"""Which queries a run's picture shows, and a run without matplotlib."""

import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from hf_vitret import RetrievalEvaluator
from hf_vitret.evaluation.reporting.retrieval_strip import drawn_queries
from hf_vitret.workflows.finetune.run_pictures import draw_strip, save_curves
from tests import ROOT
from tests.training import runs

SHOWN = ROOT / "model_cards" / "dinov2-small-icons" / "results.json"


@pytest.fixture(scope="module")
def evaluator() -> RetrievalEvaluator:
    return RetrievalEvaluator(runs.shapes_dataset(num_train=1, num_test=5))


@pytest.fixture(scope="module")
def right(evaluator: RetrievalEvaluator) -> torch.Tensor:
    """Give for each of 20 queries two other images of its class."""
    rows = torch.arange(20)
    return torch.stack([rows // 4 * 4 + (rows + step) % 4 for step in (1, 2)], dim=1)


def test_failures_of_the_last_model_are_shown_after_the_others(
    evaluator: RetrievalEvaluator, right: torch.Tensor
) -> None:
    wrong = right.clone()
    wrong[:8] = (wrong[:8] + 4) % 20
    rows = drawn_queries(evaluator, 256)
    assert rows.tolist() == list(range(20))
    strip, chosen = draw_strip(evaluator, rows, [right, wrong], ["before", "after"])
    assert chosen == {"num_neighbors": 2, "num_random": 5, "num_failures": 3, "num_wrong": 8, "num_drawn": 20}
    without, none = draw_strip(evaluator, rows, [wrong, right], ["before", "after"])
    assert none == {"num_neighbors": 2, "num_random": 5, "num_failures": 0, "num_wrong": 0, "num_drawn": 20}
    assert strip.height > without.height
    assert strip.width == without.width


def test_curves_where_there_is_matplotlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    results = json.loads(SHOWN.read_text(encoding="utf-8"))
    name = save_curves(results, tmp_path)
    with Image.open(tmp_path / str(name)) as picture:
        assert (picture.format, picture.width) == ("PNG", 1200)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    (tmp_path / "none").mkdir()
    assert save_curves(results, tmp_path / "none") is None
    assert not list((tmp_path / "none").iterdir())
    (line,) = capsys.readouterr().out.splitlines()
    assert line == 'The card has no curves: curves need matplotlib: pip install "hf_vitret[plots]"'
