"""Closed forms of expected values against the mean over every order of the items that tie."""

from itertools import combinations, product

import numpy as np
import pytest
import torch

from hf_vitret.evaluation.metrics import expected_ties
from hf_vitret.evaluation.metrics.expected_ties import TieGroups, expected_average_precision, expected_reciprocal_rank
from hf_vitret.evaluation.metrics.metric_choice import METRICS, MetricChoice
from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED
from tests.evaluation.ranking_oracle import metrics_of_list

KS = (1, 2, 3, 5, 8, 100)
CHOICE = MetricChoice(METRICS, KS, "expected")


def orders(groups):
    """Yield the ranks of the positives in every order of a list of groups of (positives, negatives) that tie."""
    starts = np.cumsum([0, *(sum(group) for group in groups)])
    positions = [
        combinations(range(start, start + right + wrong), right)
        for start, (right, wrong) in zip(starts, groups, strict=False)
    ]
    for chosen in product(*positions):
        yield [rank for group in chosen for rank in group]


def extremes(groups):
    """Return the ranks of the positives ahead of all negatives that they tie with, and behind them."""
    best, worst, start = [], [], 0
    for right, wrong in groups:
        best += range(start, start + right)
        worst += range(start + wrong, start + wrong + right)
        start += right + wrong
    return best, worst


def values_of(lists_of_groups):
    """Return the expected values of several queries in one block."""
    pairs = [extremes(groups) for groups in lists_of_groups]
    width = max(len(best) for best, _ in pairs)
    num_positives = torch.tensor([len(best) for best, _ in pairs])
    best, worst = (
        torch.tensor([ranks + [UNRESOLVED] * (width - len(ranks)) for ranks in side])
        for side in zip(*pairs, strict=True)
    )
    return CHOICE.values(num_positives, worst, best)


def drawn_groups(num_lists):
    """Draw lists of at most ten items, with single items, groups of positives or negatives alone, and mixed groups."""
    generator = np.random.default_rng(3)
    lists = [[(1, 0)], [(1, 9)], [(9, 1)], [(3, 3), (2, 2)], [(0, 3), (2, 0), (1, 4)], [(2, 1), (1, 2), (1, 1)]]
    while len(lists) < num_lists:
        groups = [tuple(generator.integers(0, 4, size=2).tolist()) for _ in range(generator.integers(1, 5))]
        if sum(right for right, _ in groups) > 0 and sum(map(sum, groups)) <= 10:
            lists.append(groups)
    return lists


def test_every_value_is_the_mean_over_all_orders():
    lists = drawn_groups(80)
    received = values_of(lists)
    assert tuple(received) == CHOICE.keys
    for row, groups in enumerate(lists):
        every = [metrics_of_list(ranks, KS) for ranks in orders(groups)]
        for name, values in received.items():
            expected = np.mean([each[name] for each in every])
            assert float(values[row]) == pytest.approx(expected, abs=1e-13), (name, groups)


def test_without_ties_the_values_are_those_of_the_one_order():
    generator = torch.Generator().manual_seed(0)
    ranks = torch.rand(100, 300, generator=generator).argsort(dim=1)[:, :20].sort(dim=1).values
    ranks[0] = 1_000_000 + torch.arange(20)  # consecutive ranks, with all negatives ahead
    num_positives = torch.full((100,), 20)
    expected = MetricChoice(METRICS, KS).values(num_positives, ranks)
    for name, values in CHOICE.values(num_positives, ranks, ranks).items():
        assert torch.allclose(values, expected[name], rtol=1e-13, atol=1e-16), name


@pytest.mark.parametrize("num_wrong", [10, 5_000])
@pytest.mark.parametrize("num_right", [1, 2, 40])
def test_large_groups_far_down_a_list(num_right, num_wrong):
    """The values are summed over the positions in float64, behind 100,000 negatives."""
    ahead, size = 100_000, num_right + num_wrong
    best = ahead + torch.arange(num_right)[None]
    received = CHOICE.values(torch.tensor([num_right]), best + num_wrong, best)
    positions = np.arange(size)
    share = (num_right - 1) / (size - 1)
    average = (num_right / size * (1 + positions * share) / (ahead + 1 + positions)).sum() / num_right
    chances, chance = [], num_right / size
    for position in range(num_wrong + 1):
        chances.append(chance)
        chance *= (num_wrong - position) / max(1, size - 1 - position)
    assert float(received["map"]) == pytest.approx(average, rel=1e-9)
    mean_reciprocal_rank = np.dot(chances, 1 / (ahead + 1 + positions[: num_wrong + 1]))
    assert float(received["mrr"]) == pytest.approx(mean_reciprocal_rank, rel=1e-9)
    assert float(received["recall_at_100"]) == float(received["map_at_r"]) == 0


def test_a_value_depends_on_its_own_query_alone(monkeypatch):
    lists = drawn_groups(40)
    together = values_of(lists)
    monkeypatch.setattr(expected_ties, "_MAX_CHANCES", 12)  # a few queries at a time
    chunked = values_of(lists)
    for row, groups in enumerate(lists):
        alone = values_of([groups])
        for name in CHOICE.keys:
            assert float(alone[name]) == float(together[name][row]) == float(chunked[name][row])


def test_ties_that_overlap_in_part_stay_between_the_extremes():
    """Each of three positives ties with two negatives, the second of which ties with the next positive too."""
    best, worst = torch.tensor([[0, 2, 4]]), torch.tensor([[2, 4, 6]])
    num_positives = torch.tensor([3])
    lowest, highest = (MetricChoice(METRICS, KS).values(num_positives, ranks) for ranks in (worst, best))
    expected = CHOICE.values(num_positives, worst, best)
    assert all(lowest[name] - 1e-15 <= expected[name] <= highest[name] + 1e-15 for name in CHOICE.keys)
    assert lowest["map"] < expected["map"] < highest["map"]
    # The best positive is first, second or third with equal probability.
    assert float(expected["mrr"]) == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)


def test_no_query_and_no_positive():
    empty = torch.zeros(0, 3, dtype=torch.int64)
    assert all(len(values) == 0 for values in CHOICE.values(empty[:, 0], empty, empty).values())
    nothing = torch.full((1, 1), UNRESOLVED)
    groups = TieGroups.between(nothing, nothing, torch.tensor([0]))
    assert expected_reciprocal_rank(groups).tolist() == [0.0]
    assert expected_average_precision(groups, torch.tensor([1])).tolist() == [0.0]
