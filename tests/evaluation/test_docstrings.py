"""The examples in the docstrings of the room give what they say."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import hf_vitret.evaluation

ROOM = hf_vitret.evaluation.__name__
MODULES = [
    name.removeprefix(f"{ROOM}.")
    for _, name, is_package in pkgutil.walk_packages(hf_vitret.evaluation.__path__, f"{ROOM}.")
    if not is_package and ".modules." not in name  # those are read by evaluate, in a test of their own
]
WITH_EXAMPLES = {
    "metrics.expected_ties",
    "metrics.graded",
    "metrics.metric_choice",
    "metrics.metric_sums",
    "metrics.ndcg",
    "metrics.rank_metrics",
    "metrics.ranked_lists",
    "metrics.relevance",
    "metrics.retrieval",
    "protocols",
    "ranking.checked_order",
    "ranking.exact_scores",
    "ranking.search_codes",
    "revisited.average_precision",
    "revisited.metrics",
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(import_module(f"{ROOM}.{name}"))
    assert result.failed == 0
    assert result.attempted > 0 or name not in WITH_EXAMPLES


def test_none_is_forgotten() -> None:
    assert set(MODULES) >= WITH_EXAMPLES
