"""Brackets of ranks contain the exact rank, and settled queries are on the right side of every cut-off."""

import pytest
import torch

from hf_vitret.evaluation.ranking import rank_brackets as module
from hf_vitret.evaluation.ranking.checked_order import checked_class_order
from hf_vitret.evaluation.ranking.exact_scores import ExactScores
from hf_vitret.evaluation.ranking.rank_brackets import RankBrackets, count_above
from hf_vitret.evaluation.ranking.scored_tile import ScoredTile
from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED

NUM_QUERIES, NUM_ITEMS, MARGIN, CUTOFFS = 21, 40, 0.05, (1, 10, 15, 20, 40)


@pytest.mark.parametrize("query_dim", [0, 1])
@pytest.mark.parametrize("few", [0.0, 0.5, 1.0], ids=["all queries", "in turn", "some queries"])
def test_the_exact_count_is_in_the_bracket_and_what_is_settled_is_right(query_dim, few, monkeypatch):
    """The scores of the tiles have the largest error that the margin allows."""
    monkeypatch.setattr(module, "FEW", few)
    generator = torch.Generator().manual_seed(3)
    thresholds = 0.7 + torch.rand(NUM_QUERIES, generator=generator)
    thresholds[4] = -torch.inf
    brackets, every = RankBrackets(thresholds, CUTOFFS), []
    for _ in range(6):
        right = torch.randn(NUM_QUERIES, NUM_ITEMS, generator=generator)
        wrong = right + MARGIN * (2 * torch.rand(right.shape, generator=generator) - 1)
        scores = wrong if query_dim == 0 else torch.nn.functional.pad(wrong.T, (0, 3), value=9.0).contiguous()
        margins = torch.full((NUM_QUERIES,), MARGIN * 1.0001)
        unused = ExactScores(torch.empty(NUM_QUERIES, 1), torch.empty(0, 1))
        brackets.add(ScoredTile(scores, torch.empty_like(scores), query_dim, unused, margins))
        every.append(right)

    exact = (torch.cat(every, dim=1) >= thresholds[:, None]).sum(dim=1).tolist()
    ranks, is_unsettled = brackets.ranks()[:, 0].tolist(), brackets.is_unsettled().tolist()
    dropped = [lowest == torch.inf for lowest in brackets.lowest.tolist()]
    for query in range(NUM_QUERIES):
        if query == 4:
            assert (ranks[query], dropped[query], is_unsettled[query]) == (UNRESOLVED, True, False)
            continue
        assert brackets.above[query] <= exact[query]
        assert dropped[query] == (brackets.above[query] >= CUTOFFS[-1])
        assert dropped[query] or exact[query] <= brackets.possible[query]
        if not is_unsettled[query]:
            assert [ranks[query] < k for k in CUTOFFS] == [exact[query] < k for k in CUTOFFS]
    assert 0 < sum(is_unsettled) < NUM_QUERIES / 2
    assert 1 < sum(dropped) < NUM_QUERIES


@pytest.mark.parametrize("max_scores", [1, 10_000])
@pytest.mark.parametrize("max_queries", [3, 1_000])
def test_any_queries_are_counted_exactly(max_scores, max_queries, monkeypatch):
    monkeypatch.setattr(module, "_MAX_SCORES", max_scores)
    monkeypatch.setattr(module, "_MAX_QUERIES", max_queries)
    generator = torch.Generator().manual_seed(0)
    # Whole numbers, so that many scores equal the threshold.
    rows = torch.randint(-3, 4, (77, 5), generator=generator).float()
    labels = torch.randint(0, 12, (77,), generator=generator)
    order = checked_class_order(rows, labels)
    queries = torch.tensor([70, 3, 3, 41, 0, 76, 12])
    thresholds = torch.tensor([0.0, 3.0, 4.0, -2.0, 1.0, 5.0, -100.0])
    expected = []
    for query, threshold in zip(order.query_order[queries].tolist(), thresholds.tolist(), strict=True):
        scores = [float(rows[query] @ rows[item]) for item in range(77) if labels[item] != labels[query]]
        expected.append(sum(score >= threshold for score in scores))
    assert count_above(order, queries, thresholds).tolist() == expected
    assert count_above(order, queries[:0], thresholds[:0]).tolist() == []
