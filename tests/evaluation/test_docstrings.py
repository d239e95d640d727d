"""The examples in the docstrings of `hf_vitret.evaluation` run as doctests and print what they show."""

from __future__ import annotations

import doctest
import pkgutil
from importlib import import_module

import pytest

import hf_vitret.evaluation

PACKAGE = hf_vitret.evaluation.__name__
MODULES = [
    name.removeprefix(f"{PACKAGE}.")
    for _, name, is_package in pkgutil.walk_packages(hf_vitret.evaluation.__path__, f"{PACKAGE}.")
    if not is_package and ".modules." not in name  # evaluate reads those; another test runs their examples
]
WITH_EXAMPLES = {
    "landmarks.gldv2_map",
    "landmarks.global_average_precision",
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
    "shared_docs",
    "ranking.checked_order",
    "ranking.exact_scores",
    "ranking.search_codes",
    "revisited.average_precision",
    "revisited.metrics",
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(import_module(f"{PACKAGE}.{name}"))
    assert result.failed == 0
    assert result.attempted > 0 or name not in WITH_EXAMPLES


def test_every_listed_module_exists() -> None:
    assert set(MODULES) >= WITH_EXAMPLES
