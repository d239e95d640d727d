"""The tables of scores have the right names, order and signs."""

import doctest

import pytest

from hf_vitret.evaluation.reporting.report_text import metric_title
from hf_vitret.hub import score_table
from hf_vitret.hub.score_table import how_intervals_were_drawn, metric_names, score_rows


def test_examples() -> None:
    result = doctest.testmod(score_table)
    assert result.attempted > 0
    assert result.failed == 0


def test_ranks_are_named_in_order_and_before_the_rest() -> None:
    scores = {"r_precision": 0.1, "recall_at_20": 0.3, "num_queries": 9, "recall_at_1": 0.2, "map_at_r": 0.1}
    assert list(metric_names(scores).values()) == ["R@1", "R@20", "MAP@R", "R-precision"]
    assert all(title == metric_title(name) for name, title in metric_names(scores).items())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ((-0.0312, -0.05, 0.0004), "-3.1 (-5.0 to +0.0)"),
        ((-0.0004, -0.00049, 0.1), "+0.0 (+0.0 to +10.0)"),  # a rounded zero has no minus sign
    ],
)
def test_signs_of_a_difference(change: tuple[float, float, float], text: str) -> None:
    difference = dict(zip(("difference", "low", "high"), change))
    rows = score_rows({"scores": {"a": {"recall_at_1": 0.5}}, "differences": {"recall_at_1": difference}})
    assert rows["difference"] == {"recall_at_1": text}


def test_nothing_is_drawn_where_nothing_is_known() -> None:
    for intervals in ({}, {"intervals": {}}):
        assert how_intervals_were_drawn({"scores": {}} | intervals) == ""
