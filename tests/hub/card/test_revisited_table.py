"""The table of mAP has each value in its row and column; the run's own mAP is in its row of the paper's table."""

import doctest
from typing import Any

import pytest

from hf_vitret.hub.card import revisited_table as module
from hf_vitret.hub.card.paper_figures import PAPER_FIGURES
from hf_vitret.hub.card.revisited_table import revisited_rows, with_revisited
from hf_vitret.hub.score_table import paper_rows

TITLES = ["off the shelf", "off the shelf, query_expansion", "after training", "after training, query_expansion"]
LEVELS = ["easy", "medium", "hard"]


def test_examples() -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.fixture
def results() -> dict[str, Any]:
    """Make results with 24 different shares."""
    shares = iter(range(101, 125))
    revisited = {
        name: {title: {f"{level}_map": next(shares) / 1000 for level in LEVELS} for title in TITLES}
        for name in ("roxford5k", "rparis6k")
    }
    scores = {"off the shelf": {"map_at_r": 0.9}, "after training": {"map_at_r": 0.91}}
    return {"scores": scores, "revisited": revisited, "paper": PAPER_FIGURES["sfm120k"]}


def test_each_map_stands_where_it_belongs(results: dict[str, Any]) -> None:
    head, *rows = revisited_rows(results)
    assert head == ["", *(f"{name} {level}" for name in ("ROxford5k", "RParis6k") for level in LEVELS)]
    assert [row[0] for row in rows] == TITLES
    for row in rows:
        expected = [
            results["revisited"][name][row[0]][f"{level}_map"] for name in results["revisited"] for level in LEVELS
        ]
        assert [float(cell) for cell in row[1:]] == pytest.approx([100 * share for share in expected])


def test_the_papers_table_has_what_the_trained_model_found(results: dict[str, Any]) -> None:
    head, own, *others = with_revisited(paper_rows(results), results)
    assert head == ["", *(f"{name} mAP {level}" for name in ("ROxford5k", "RParis6k") for level in LEVELS[1:])]
    assert own == ["this model", "10.8", "10.9", "12.0", "12.1"]
    assert others == paper_rows(results)[2:]


def test_what_was_not_measured_is_not_there(results: dict[str, Any]) -> None:
    del results["revisited"]
    assert revisited_rows(results) == []
    assert with_revisited(paper_rows(results), results) == paper_rows(results)
    assert with_revisited([], results) == []
