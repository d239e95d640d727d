"""A tile whose queries are its rows or its columns, against plain indexing."""

import pytest
import torch

from hf_vitret.evaluation.ranking.exact_scores import ExactScores
from hf_vitret.evaluation.ranking.scored_tile import ScoredTile


@pytest.mark.parametrize("query_dim", [0, 1])
def test_queries_are_read_from_rows_and_from_columns(query_dim):
    """There are 13 queries and 16 items; queries in columns are padded to 16, and the padding never counts."""
    generator = torch.Generator().manual_seed(1)
    table = torch.randn(13, 16, generator=generator)  # (queries, items)
    scores = table if query_dim == 0 else torch.nn.functional.pad(table.T, (0, 3), value=9.0).contiguous()
    exact = ExactScores(torch.eye(13), table.T)
    tile = ScoredTile(scores, torch.empty_like(scores), query_dim, exact, torch.arange(13.0))
    thresholds = torch.linspace(-1, 1, 13)
    passes = table >= thresholds[:, None]
    assert torch.equal(tile.best(), table.max(dim=1).values)
    assert torch.equal(tile.count_at_least(thresholds), passes.sum(dim=1))
    assert tile.count_at_least(torch.full((13,), torch.inf)).tolist() == [0] * 13

    rows = torch.tensor([0, 5, 12])
    some = tile.of_queries(rows)
    assert torch.equal(some.scores, table[rows])
    assert torch.equal(some.margins, rows.float())
    assert torch.equal(some.exact.of_rows(), exact.of_rows(rows))
    assert torch.equal(some.count_at_least(thresholds[rows]), passes[rows].sum(dim=1))
    picked, items = some.picked(thresholds[rows])
    for line, row in enumerate(rows.tolist()):
        expected = passes[row].nonzero().squeeze(1)
        assert items[line, : len(expected)].tolist() == expected.tolist()
        assert torch.equal(picked[line, : len(expected)], table[row, expected])
        assert (picked[line, len(expected) :] == -torch.inf).all()
