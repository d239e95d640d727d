import pytest
import torch

from hf_vitret.evaluation import threshold_counts as module
from hf_vitret.evaluation.threshold_counts import ThresholdCounts, count_true

# Costs that make each of the three ways of counting the cheapest.
WAYS = {
    "compare": {"_COMPARE_COST": 0.0},
    "pick": {"_COMPARE_COST": 1e9, "_PICK_COST": 0.0},
    "select": {"_COMPARE_COST": 1e9, "_PICK_COST": 1e9, "_SELECT_COST": 0.0},
}


@pytest.mark.parametrize("shape", [(3, 8), (600, 16), (5, 4096), (300, 2048)])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_count_true_is_the_sum(shape, dim, density):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < density
    assert torch.equal(count_true(mask, dim), mask.sum(dim))


@pytest.mark.parametrize("way", list(WAYS))
@pytest.mark.parametrize("query_dim", [0, 1])
def test_every_way_counts_what_a_loop_counts(way, query_dim, monkeypatch):
    for name, cost in WAYS[way].items():
        monkeypatch.setattr(module, name, cost)
    generator = torch.Generator().manual_seed(3)
    num_queries, width = 21, 9
    num_thresholds = torch.randint(0, width + 1, (num_queries,), generator=generator)
    thresholds = torch.randn(num_queries, width, generator=generator).sort(dim=1, descending=True).values
    thresholds[torch.arange(width) >= num_thresholds[:, None]] = -torch.inf
    limits = torch.full((num_queries,), 60)
    counts = ThresholdCounts(thresholds.clone(), num_thresholds, limits)
    tiles = [torch.randn(num_queries, 40, generator=generator) for _ in range(5)]
    for tile in tiles:
        scores = tile if query_dim == 0 else torch.nn.functional.pad(tile.T, (0, 3), value=9.0).contiguous()
        counts.add(scores, torch.empty_like(scores, dtype=torch.bool), query_dim)

    every = torch.cat(tiles, dim=1)
    num_dropped = 0
    for query in range(num_queries):
        right = [int((every[query] >= thresholds[query, j]).sum()) for j in range(num_thresholds[query])]
        for place, count in enumerate(right):
            if place <= counts.level[query]:
                assert counts.above[query, place] == count
            else:
                num_dropped += 1
                assert place + count >= limits[query]
    assert num_dropped > 10
