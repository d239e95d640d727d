"""Metrics of ranks against a loop over the list, scikit-learn and values computed by hand."""

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from hf_vitret.evaluation.metrics.metric_choice import METRICS, MetricChoice
from hf_vitret.evaluation.metrics.rank_metrics import (
    average_precision,
    map_at_k,
    map_at_r,
    precision_at_k,
    reciprocal_rank,
)
from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED
from tests.evaluation.ranking_oracle import ALL_METRICS, metrics_of_list, names_of

KS = (1, 2, 5, 30, 1000)


def drawn_ranks(num_queries=200, length=40, max_positives=9):
    """Draw the ranks of the positives in lists; `UNRESOLVED` fills the row of a query with fewer positives."""
    generator = np.random.default_rng(0)
    lists = [
        sorted(generator.choice(length, size=generator.integers(1, max_positives + 1), replace=False).tolist())
        for _ in range(num_queries)
    ]
    ranks = torch.full((num_queries, max_positives), UNRESOLVED)
    for row, ranked in enumerate(lists):
        ranks[row, : len(ranked)] = torch.tensor(ranked)
    return lists, ranks, torch.tensor([len(ranked) for ranked in lists])


def test_every_metric_is_that_of_a_loop_over_the_list():
    lists, ranks, num_positives = drawn_ranks()
    received = MetricChoice(METRICS, KS).values(num_positives, ranks)
    assert list(received) == names_of(ALL_METRICS, KS)
    expected = [metrics_of_list(ranked, KS) for ranked in lists]
    for name, values in received.items():
        assert values.dtype == torch.float64
        assert values.tolist() == pytest.approx([each[name] for each in expected], abs=1e-15), name


def test_average_precision_is_that_of_scikit_learn():
    lists, ranks, num_positives = drawn_ranks()
    for ranked, value in zip(lists, average_precision(ranks, num_positives).tolist(), strict=True):
        is_right = np.isin(np.arange(40), ranked)
        assert value == pytest.approx(average_precision_score(is_right, -np.arange(40.0)), abs=1e-12)


def test_map_at_r_by_hand():
    # The positives have ranks 1, 3 and 5 (from 1), and R = 4: (1/1 + 2/3) / 4; rank 5 is beyond R.
    received = map_at_r(torch.tensor([[0, 2, 4, 9]]), torch.tensor([4]))
    assert received.tolist() == [pytest.approx((1 + 2 / 3) / 4)]


def test_map_at_k_counts_what_was_missed():
    # One of ten positives is among the first ten: 0.1. Dividing by the number of hits would give 1.
    assert map_at_k(torch.tensor([[0, *range(20, 29)]]), torch.tensor([10]), k=10).tolist() == [0.1]
    assert map_at_k(torch.tensor([[0, 1]]), torch.tensor([2]), k=100).tolist() == [1.0]


def test_what_is_not_in_the_list_counts_as_never_found():
    ranks, num_positives = torch.tensor([[1] + [UNRESOLVED] * 99, [UNRESOLVED] * 100]), torch.tensor([100, 100])
    assert average_precision(ranks, num_positives).tolist() == [0.005, 0.0]
    assert reciprocal_rank(ranks).tolist() == [0.5, 0.0]
    assert precision_at_k(ranks, 2**40).tolist() == [2.0**-40, 0.0]


def test_a_query_scores_alike_whatever_other_queries_are_beside_it():
    _, ranks, num_positives = drawn_ranks(num_queries=50)
    choice = MetricChoice(METRICS, KS)
    together = choice.values(num_positives, torch.cat([ranks, torch.full((50, 13), UNRESOLVED)], dim=1))
    for row in range(50):
        width = int(num_positives[row])
        alone = choice.values(num_positives[row : row + 1], ranks[row : row + 1, :width])
        assert all(float(alone[name]) == float(together[name][row]) for name in choice.keys)
