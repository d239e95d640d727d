"""The examples in the docstrings of the metrics give what they say."""

from __future__ import annotations

import doctest
from importlib import import_module

import pytest

MODULES = [
    "expected_ties",
    "graded",
    "metric_choice",
    "metric_sums",
    "metrics",
    "ndcg",
    "protocols",
    "rank_metrics",
    "ranked_lists",
    "relevance",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(import_module(f"hf_vitret.evaluation.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
