import pytest
import torch

from hf_vitret.evaluation import positive_ranks as module
from hf_vitret.evaluation.positive_ranks import UNRESOLVED, positive_ranks
from tests.evaluation.ranking_oracle import sorted_positive_ranks


def _as_lists(blocks, num_queries):
    lists = [None] * num_queries
    for block in blocks:
        for query, ranks, num_positives in zip(
            block.queries.tolist(), block.ranks.tolist(), block.num_positives.tolist(), strict=True
        ):
            assert lists[query] is None, "a query came twice"
            assert set(ranks[num_positives:]) <= {UNRESOLVED}
            lists[query] = ranks[:num_positives]
    return lists


@pytest.mark.parametrize("tile_size", [8, 64, 1024])
def test_every_rank_is_that_of_a_full_sort(dataset, tile_size):
    embeddings, labels = dataset
    expected = sorted_positive_ranks(embeddings, labels.tolist())
    received = _as_lists(positive_ranks(embeddings, labels, every_rank=True, tile_size=tile_size), 301)
    assert received == [ranks.tolist() for ranks in expected]


@pytest.mark.parametrize("tile_size", [8, 64, 1024])
def test_the_first_rank_and_all_below_r_are_exact_and_the_rest_is_unresolved_or_exact(dataset, tile_size):
    embeddings, labels = dataset
    expected = sorted_positive_ranks(embeddings, labels.tolist())
    received = _as_lists(positive_ranks(embeddings, labels, tile_size=tile_size), 301)
    for right, ours in zip(expected, received, strict=True):
        for place, (rank, our_rank) in enumerate(zip(right.tolist(), ours, strict=True)):
            if place == 0 or rank < len(right):
                assert our_rank == rank
            else:
                assert our_rank in (rank, UNRESOLVED)


def test_the_symmetric_and_the_rectangular_way_agree(dataset, monkeypatch):
    embeddings, labels = dataset
    symmetric = _as_lists(positive_ranks(embeddings, labels, tile_size=64, every_rank=True), 301)
    monkeypatch.setattr(module, "_MAX_SYMMETRIC_THRESHOLDS", 0)
    monkeypatch.setattr(module, "_MAX_THRESHOLDS", 500)  # small blocks of queries
    rectangular = _as_lists(positive_ranks(embeddings, labels, tile_size=64, every_rank=True), 301)
    assert rectangular == symmetric


@pytest.mark.parametrize("num_ids", [301, 100, 3, 1])
def test_an_item_with_the_id_of_the_query_is_absent_whatever_its_label(dataset, num_ids):
    embeddings, labels = dataset
    ids = torch.randint(0, num_ids, (301,), generator=torch.Generator().manual_seed(1))
    expected = sorted_positive_ranks(
        embeddings[:90], labels[:90].tolist(), embeddings, labels.tolist(), ids[:90].tolist(), ids.tolist()
    )
    blocks = positive_ranks(
        embeddings[:90],
        labels[:90],
        embeddings,
        labels,
        query_ids=ids[:90],
        gallery_ids=ids,
        every_rank=True,
        tile_size=64,
    )
    assert _as_lists(blocks, 90) == [ranks.tolist() for ranks in expected]


def _nearly_one_point(num_rows, dim):
    """Scores that differ by less than float32 products do from one shape of operands to another."""
    rows = torch.ones(num_rows, dim) + 8e-3 * torch.randn(num_rows, dim, generator=torch.Generator().manual_seed(2))
    return torch.nn.functional.normalize(rows, dim=1)


def test_ranks_are_exact_where_products_in_float32_are_not():
    """The definition, spelt out: inner products rounded to float32 once, the tolerance taken off a positive's."""
    embeddings, labels = _nearly_one_point(211, 384), torch.arange(211) % 30
    scores = (embeddings.double() @ embeddings.double().T).float()
    norms = embeddings.double().norm(dim=1).float()
    thresholds = scores - norms * (module.TIE_TOLERANCE * norms[:, None])
    expected, num_close = [], 0
    for row in range(211):
        is_right = labels == labels[row]
        wrong = scores[row, ~is_right]
        is_right[row] = False
        limits = thresholds[row, is_right].sort(descending=True).values
        expected.append([place + int((wrong >= limit).sum()) for place, limit in enumerate(limits)])
        num_close += int(((wrong[:, None] - limits).abs() < 5e-7).sum())
    assert num_close > 10_000  # what a product's error could turn over

    ways = {
        "tiles of 8": positive_ranks(embeddings, labels, every_rank=True, tile_size=8),
        "one tile": positive_ranks(embeddings, labels, every_rank=True),
        "against a gallery": positive_ranks(
            embeddings, labels, embeddings, labels, query_ids=range(211), gallery_ids=range(211), every_rank=True
        ),
    }
    for way, blocks in ways.items():
        assert _as_lists(blocks, 211) == expected, way
    by_sevens = [None] * 211
    for rows in torch.arange(211).split(7):
        blocks = positive_ranks(
            embeddings[rows], labels[rows], embeddings, labels, query_ids=rows, gallery_ids=range(211), every_rank=True
        )
        by_sevens[rows[0] : rows[-1] + 1] = _as_lists(blocks, len(rows))
    assert by_sevens == expected


def test_a_block_never_holds_more_thresholds_than_allowed(monkeypatch):
    monkeypatch.setattr(module, "_MAX_THRESHOLDS", 1_000)
    monkeypatch.setattr(module, "_MAX_SYMMETRIC_THRESHOLDS", 1_000)
    embeddings = torch.nn.functional.normalize(torch.randn(300, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = torch.arange(300) % 2
    blocks = list(positive_ranks(embeddings, labels))
    assert max(block.ranks.numel() for block in blocks) <= 1_000
    assert sum(len(block.queries) for block in blocks) == 300


def test_wrong_arguments_are_refused_at_the_call_not_at_the_first_block():
    with pytest.raises(ValueError, match="multiple of 8, got 12"):
        positive_ranks(torch.eye(2), [0, 0], tile_size=12)
