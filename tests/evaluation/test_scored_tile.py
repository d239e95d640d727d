"""A tile read along its rows and along its columns, against plain indexing."""

import pytest
import torch

from hf_vitret.evaluation.exact_scores import ExactScores
from hf_vitret.evaluation.scored_tile import ScoredTile, count_true, true_places


@pytest.mark.parametrize("shape", [(3, 8), (600, 16), (5, 4096), (300, 2048)])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_count_true_is_the_sum(shape, dim, density):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < density
    assert torch.equal(count_true(mask, dim), mask.sum(dim))


@pytest.mark.parametrize("shape", [(3, 8), (600, 16), (5, 4096)])
@pytest.mark.parametrize("density", [0.0, 0.01, 1.0])
def test_true_places_are_those_of_nonzero(shape, density):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < density
    assert torch.equal(torch.stack(true_places(mask), dim=1), mask.nonzero())


@pytest.mark.parametrize("query_dim", [0, 1])
def test_queries_are_read_from_rows_and_from_columns(query_dim):
    """Thirteen queries and sixteen items; as columns the queries are padded to sixteen, which never counts."""
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(13, 16, generator=generator)  # (queries, items)
    scores = table if query_dim == 0 else torch.nn.functional.pad(table.T, (0, 3), value=9.0).contiguous()
    exact = ExactScores(torch.eye(13), table.T)
    tile = ScoredTile(scores, torch.empty_like(scores, dtype=torch.bool), query_dim, exact, torch.zeros(13))
    thresholds = torch.linspace(-1, 1, 13)
    passes = table >= thresholds[:, None]
    found = tile.count_at_least(thresholds)
    assert torch.equal(found, passes.sum(dim=1))

    below = tile.hits_below(thresholds + 0.5)
    below = below if query_dim == 0 else below.T[:13]
    assert torch.equal(below, passes & (table < thresholds[:, None] + 0.5))

    rows = torch.tensor([0, 5, 12])
    assert torch.equal(tile.of_queries(rows), table[rows])
    picked, items = tile.picked(rows, found[rows])
    for line, row in enumerate(rows.tolist()):
        expected = passes[row].nonzero().squeeze(1)
        assert items[line, : len(expected)].tolist() == expected.tolist()
        assert torch.equal(picked[line, : len(expected)], table[row, expected])
        assert (picked[line, len(expected) :] == -torch.inf).all()
    best, items = tile.selected(rows, 4)
    assert torch.equal(best, table[rows].sort(dim=1, descending=True).values[:, :4])
    assert torch.equal(table[rows].gather(1, items), best)
