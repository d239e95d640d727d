"""Counts of scores above thresholds against a loop over exact scores, for each way of counting."""

import pytest
import torch

from hf_vitret.evaluation.ranking import threshold_counts as module
from hf_vitret.evaluation.ranking.exact_scores import ExactScores
from hf_vitret.evaluation.ranking.scored_tile import ScoredTile
from hf_vitret.evaluation.ranking.threshold_counts import ThresholdCounts

# Costs that make each way of counting the cheapest one.
WAYS = {
    "pick": {"_PICK_COST": 0.0},
    "compare": {"_COMPARE_COST": 0.0},
    "select": {"_SELECT_COST": 0.0},
}
NUM_QUERIES, WIDTH, NUM_ITEMS, DIM = 21, 9, 40, 5
MARGIN = 0.1


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("query_dim", [0, 1])
@pytest.mark.parametrize("max_doubtful", [0.0, 1.0], ids=["whole rows", "pairs"])
@pytest.mark.parametrize("few", [0.0, 1.0], ids=["all queries", "some queries"])
def test_every_way_counts_what_a_loop_counts_over_the_exact_scores(way, query_dim, max_doubtful, few, monkeypatch):
    """The scores of the tiles have the largest error that the margin allows: 0.1, at a standard deviation of 2."""
    for name, cost in {**WAYS[way], "_MAX_DOUBTFUL": max_doubtful, "FEW": few}.items():
        monkeypatch.setattr(module, name, cost)
    generator = torch.Generator().manual_seed(3)
    num_thresholds = torch.randint(0, WIDTH + 1, (NUM_QUERIES,), generator=generator)
    thresholds = torch.randn(NUM_QUERIES, WIDTH, generator=generator).sort(dim=1, descending=True).values
    thresholds[torch.arange(WIDTH) >= num_thresholds[:, None]] = -torch.inf
    limits, first_limits = torch.full((NUM_QUERIES,), 60), torch.full((NUM_QUERIES,), 70)
    counts = ThresholdCounts(thresholds.clone(), num_thresholds, limits, first_limits)
    queries = torch.randn(NUM_QUERIES, DIM, generator=generator)
    every, is_seen = [], []
    for _ in range(5):
        items = torch.randn(NUM_ITEMS, DIM, generator=generator)
        right = (queries.double() @ items.double().T).float()
        wrong = right + MARGIN * (2 * torch.rand(right.shape, generator=generator) - 1)
        hidden = torch.rand(right.shape, generator=generator) < 0.2
        wrong[hidden] = -torch.inf
        scores = wrong if query_dim == 0 else torch.nn.functional.pad(wrong.T, (0, 3), value=9.0).contiguous()
        margins = torch.full((NUM_QUERIES,), MARGIN * 1.0001)
        counts.add(ScoredTile(scores, torch.empty_like(scores), query_dim, ExactScores(queries, items), margins))
        every.append(right)
        is_seen.append(~hidden)

    every, is_seen = torch.cat(every, dim=1), torch.cat(is_seen, dim=1)
    num_dropped = 0
    for query in range(NUM_QUERIES):
        exact = [
            int((every[query][is_seen[query]] >= thresholds[query, column]).sum())
            for column in range(num_thresholds[query])
        ]
        for column, count in enumerate(exact):
            if column <= counts.level[query]:
                assert counts.above[query, column] == count
            else:
                num_dropped += 1
                assert column + count >= (limits if column else first_limits)[query]
    assert num_dropped > 10
    assert (counts.level[num_thresholds > 0] == -1).any()
    assert (counts.level == 0).any()
