"""Ranks of positives against a full sort of all scores, for any tiling, any rule for ties and several processes."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from hf_vitret.evaluation.ranking import leading_part, ranked_block, tiles
from hf_vitret.evaluation.ranking import positive_ranks as module
from hf_vitret.evaluation.ranking.positive_ranks import positive_ranks
from hf_vitret.evaluation.ranking.symmetric_ranks import ProcessGroup
from hf_vitret.evaluation.ranking.wanted_ranks import TIE_TOLERANCE, UNRESOLVED
from tests.evaluation.ranking_oracle import sorted_positive_ranks

TILINGS = [(101, 8), (301, 64), (301, 1024)]  # 13 tiles on a side, the last one not full; 5 tiles; 1 tile


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


@pytest.mark.parametrize(("num_rows", "tile_size"), TILINGS)
def test_every_rank_is_that_of_a_full_sort(dataset, num_rows, tile_size):
    embeddings, labels = (part[:num_rows] for part in dataset)
    expected = sorted_positive_ranks(embeddings, labels.tolist())
    received = _as_lists(positive_ranks(embeddings, labels, every_rank=True, tile_size=tile_size), num_rows)
    assert received == [ranks.tolist() for ranks in expected]


@pytest.mark.parametrize(("num_rows", "tile_size"), TILINGS)
def test_the_first_rank_and_all_below_r_are_exact_and_the_rest_is_unresolved_or_exact(dataset, num_rows, tile_size):
    embeddings, labels = (part[:num_rows] for part in dataset)
    expected = sorted_positive_ranks(embeddings, labels.tolist())
    received = _as_lists(positive_ranks(embeddings, labels, tile_size=tile_size), num_rows)
    for right, ours in zip(expected, received, strict=True):
        for column, (rank, our_rank) in enumerate(zip(right.tolist(), ours, strict=True)):
            if column == 0 or rank < len(right):
                assert our_rank == rank
            else:
                assert our_rank in (rank, UNRESOLVED)


def test_the_symmetric_and_the_rectangular_way_agree(dataset, monkeypatch):
    embeddings, labels = dataset
    symmetric = _as_lists(positive_ranks(embeddings, labels, tile_size=64, every_rank=True), 301)
    monkeypatch.setattr(module, "_MAX_SYMMETRIC_THRESHOLDS", 0)
    monkeypatch.setattr(ranked_block, "_MAX_THRESHOLDS", 500)  # small blocks of queries
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
    """Draw rows whose scores differ by less than float32 products of different shapes do."""
    rows = torch.ones(num_rows, dim) + 8e-3 * torch.randn(num_rows, dim, generator=torch.Generator().manual_seed(2))
    return torch.nn.functional.normalize(rows, dim=1)


def test_ranks_are_exact_where_products_in_float32_are_not():
    """Count by the definition: inner products rounded to float32 once, less the tolerance for positives."""
    embeddings, labels = _nearly_one_point(211, 384), torch.arange(211) % 30
    scores = (embeddings.double() @ embeddings.double().T).float()
    norms = embeddings.double().norm(dim=1).float()
    thresholds = scores - norms * (TIE_TOLERANCE * norms[:, None])
    expected, num_close = [], 0
    for row in range(211):
        is_right = labels == labels[row]
        wrong = scores[row, ~is_right]
        is_right[row] = False
        limits = thresholds[row, is_right].sort(descending=True).values
        expected.append([num_ahead + int((wrong >= limit).sum()) for num_ahead, limit in enumerate(limits)])
        num_close += int(((wrong[:, None] - limits).abs() < 5e-7).sum())
    assert num_close > 10_000  # pairs that the error of a product could swap

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
    monkeypatch.setattr(ranked_block, "_MAX_THRESHOLDS", 1_000)
    monkeypatch.setattr(module, "_MAX_SYMMETRIC_THRESHOLDS", 1_000)
    embeddings = torch.nn.functional.normalize(torch.randn(300, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = torch.arange(300) % 2
    blocks = list(positive_ranks(embeddings, labels))
    assert max(block.ranks.numel() for block in blocks) <= 1_000
    assert sum(len(block.queries) for block in blocks) == 300


def test_wrong_arguments_are_refused_at_the_call_not_at_the_first_block():
    with pytest.raises(ValueError, match="multiple of 8, got 12"):
        positive_ranks(torch.eye(2), [0, 0], tile_size=12)


@pytest.mark.parametrize("ties", ["pessimistic", "optimistic"])
def test_ties_rank_ahead_or_behind_within_the_tolerance(ties):
    """The scores of the negatives equal that of the positive, or differ from it by half a tolerance or by two."""
    shifts = torch.tensor([-2.0, -0.5, 0.0, 0.5, 2.0]) * TIE_TOLERANCE
    cosines = torch.cat([torch.tensor([0.6]), 0.6 + shifts]).double()
    gallery = torch.stack([cosines, (1 - cosines**2).sqrt()], dim=1).float()
    blocks = positive_ranks(torch.tensor([[1.0, 0.0]]), [1], gallery, [1, 0, 0, 0, 0, 0], ties=ties)
    assert _as_lists(blocks, 1) == [[4 if ties == "pessimistic" else 1]]


def test_optimistic_ranks_are_those_of_a_sort_that_puts_the_right_first():
    embeddings, labels = _nearly_one_point(150, 16), torch.arange(150) % 11
    embeddings[50:] = embeddings[:100].clone()  # exact duplicates, of the same class and of others
    scores = (embeddings.double() @ embeddings.double().T).float()
    expected = []
    for row in range(150):
        is_right = labels == labels[row]
        wrong = scores[row, ~is_right]
        is_right[row] = False
        right = scores[row, is_right].sort(descending=True).values
        expected.append(
            [num_ahead + int((wrong > score + TIE_TOLERANCE).sum()) for num_ahead, score in enumerate(right)]
        )
    blocks = positive_ranks(embeddings, labels, every_rank=True, ties="optimistic", tile_size=64)
    received = _as_lists(blocks, 150)
    for ours, ranks in zip(received, expected, strict=True):
        assert sorted(ours) == ours
        # The rounding of the threshold to float32 may decide one score at its very edge differently.
        assert max(abs(our - rank) for our, rank in zip(ours, ranks, strict=True)) <= 1
    assert sum(ours == ranks for ours, ranks in zip(received, expected, strict=True)) > 140


@pytest.mark.parametrize("cutoffs", [(1,), (7, 1, 30), (1000,)])
@pytest.mark.parametrize("ties", ["pessimistic", "optimistic"])
def test_the_best_alone_is_on_the_right_side_of_every_cut_off(dataset, cutoffs, ties):
    embeddings, labels = dataset
    exact = _as_lists(positive_ranks(embeddings, labels, best_only=True, ties=ties, tile_size=64), 301)
    for block in positive_ranks(embeddings, labels, best_only=True, cutoffs=cutoffs, ties=ties, tile_size=64):
        assert block.ranks.shape == (len(block.queries), 1)
        for query, (rank,), size in zip(
            block.queries.tolist(), block.ranks.tolist(), block.num_positives.tolist(), strict=True
        ):
            assert size == (labels == labels[query]).sum() - 1
            right = exact[query][0] if size else UNRESOLVED
            assert [rank < k for k in cutoffs] == [right < k for k in cutoffs]


def test_the_best_alone_is_that_of_a_full_sort(dataset):
    embeddings, labels = dataset
    expected = sorted_positive_ranks(embeddings, labels.tolist())
    received = _as_lists(positive_ranks(embeddings, labels, best_only=True, tile_size=64), 301)
    assert [ranks[:1] for ranks in received] == [ranks[:1].tolist() for ranks in expected]


@pytest.mark.parametrize("few", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("ties", ["pessimistic", "optimistic"])
def test_a_part_of_the_dimensions_settles_nothing_wrongly(dataset, few, ties, monkeypatch):
    """The leading part is used even if it saves nothing: for tiles that it decides, and for tiles that it does not."""
    embeddings, labels = dataset
    expected = _as_lists(positive_ranks(embeddings, labels, ties=ties, tile_size=32), 301)
    sample = {"_SAMPLE_QUERIES": 32, "_SAMPLE_BLOCK": 16, "_SAMPLE_ITEMS": 64}
    for name, value in {**sample, "_WORTHWHILE": 100.0}.items():
        monkeypatch.setattr(leading_part, name, value)
    monkeypatch.setattr(tiles, "FEW", few)
    monkeypatch.setattr(leading_part, "_SHARES", (1 / 2,) if embeddings.shape[1] > 8 else (1,))
    assert _as_lists(positive_ranks(embeddings, labels, ties=ties, tile_size=32), 301) == expected


def test_a_maximum_leaves_all_ranks_below_r_exact(dataset):
    embeddings, labels = dataset
    expected = sorted_positive_ranks(embeddings, labels.tolist())
    received = _as_lists(positive_ranks(embeddings, labels, cutoffs=[2], tile_size=64), 301)
    for right, ours in zip(expected, received, strict=True):
        for rank, our_rank in zip(right.tolist(), ours, strict=True):
            assert our_rank == rank or (our_rank == UNRESOLVED and rank >= len(right))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (
            {"every_rank": True, "best_only": True},
            "got best_only=True and cutoffs=None. Leave best_only and cutoffs out",
        ),
        ({"cutoffs": [5, 0]}, r"each at least 1, got \(5, 0\)"),
        ({"cutoffs": []}, r"at least one rank.*got \(\)"),
        ({"ties": "kind"}, "'pessimistic' or 'optimistic', got 'kind'"),
    ],
)
def test_contradictions_are_refused_at_the_call(wanted, message):
    with pytest.raises(ValueError, match=message):
        positive_ranks(torch.eye(2), [0, 0], **wanted)


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("wanted", [{}, {"every_rank": True}, {"best_only": True, "cutoffs": [2, 5]}])
def test_several_processes_find_what_one_process_finds(dataset, size, wanted):
    """Each process is a thread; the threads wait for each other where a tensor is reduced over all of them."""
    embeddings, labels = (part[:203] for part in dataset)
    barrier, shared = threading.Barrier(size), [None] * size

    def over_all(rank, values, reduce):
        shared[rank] = values
        barrier.wait(60)
        result = reduce(torch.stack(shared))
        barrier.wait(60)
        return result

    def run(rank):
        process_group = ProcessGroup(
            rank,
            size,
            lambda values: over_all(rank, values, lambda stacked: stacked.sum(dim=0)),
            lambda values: over_all(rank, values, lambda stacked: stacked.amax(dim=0)),
        )
        return list(positive_ranks(embeddings, labels, tile_size=32, process_group=process_group, **wanted))

    with ThreadPoolExecutor(size) as threads:
        parts = list(threads.map(run, range(size)))
    alone = list(positive_ranks(embeddings, labels, tile_size=32, **wanted))
    for part in parts:
        for ours, theirs in zip(part, alone, strict=True):
            assert torch.equal(ours.queries, theirs.queries)
            assert torch.equal(ours.num_positives, theirs.num_positives)
            if "cutoffs" in wanted:
                assert all(torch.equal(ours.ranks < k, theirs.ranks < k) for k in wanted["cutoffs"])
                continue
            matters = torch.minimum(ours.ranks, theirs.ranks) < ours.num_positives.unsqueeze(1)
            matters[:, 0] |= ours.num_positives > 0  # the first rank matters in any case
            assert torch.equal(ours.ranks[matters], theirs.ranks[matters])


def test_a_process_group_has_no_gallery():
    process_group = ProcessGroup(0, 2, torch.clone, torch.clone)
    with pytest.raises(
        ValueError, match=r"needs the queries to be the gallery, .* got 2 positives and a gallery\. Use ShardedRanks"
    ):
        positive_ranks(torch.eye(2), [0, 1], torch.eye(2), [0, 1], process_group=process_group)
