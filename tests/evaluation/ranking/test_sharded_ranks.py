"""Ranks from a gallery in shards equal those from the whole gallery, and the metrics are equal to the last bit."""

import json

import pytest
import torch

from hf_vitret.evaluation import retrieval_metrics
from hf_vitret.evaluation.metrics.metric_choice import MetricChoice
from hf_vitret.evaluation.metrics.query_values import rank_values, sum_values
from hf_vitret.evaluation.ranking import ranked_block
from hf_vitret.evaluation.ranking import sharded_ranks as module
from hf_vitret.evaluation.ranking.sharded_ranks import ShardedRanks
from tests.evaluation.ranking_oracle import sorted_positive_ranks

KS = (1, 10, 100, 1000)
CHOICE = MetricChoice(ks=KS)


def as_lists(blocks, num_queries):
    lists = [None] * num_queries
    for block in blocks:
        for query, ranks, num_positives in zip(block.queries.tolist(), block.ranks.tolist(), block.num_positives):
            assert lists[query] is None, "a query came twice"
            lists[query] = ranks[:num_positives]
    return lists


def shares(num_rows, world):
    """Divide rows into consecutive parts of equal size; the last part may be shorter or empty."""
    size = -(-num_rows // world)
    return [slice(min(rank * size, num_rows), min((rank + 1) * size, num_rows)) for rank in range(world)]


def figures(metrics):
    return json.dumps(metrics)  # so that nan equals nan, and every bit of a float counts


def over_ranks(world, queries, labels, gallery, gallery_labels, query_ids=None, gallery_ids=None, **settings):
    """Run the work of each process in turn, and sum the metrics."""
    total = None
    for own in shares(len(queries), world):
        ranks = ShardedRanks(
            queries[own],
            labels[own],
            gallery_labels,
            query_ids=None if query_ids is None else query_ids[own],
            gallery_ids=gallery_ids,
            **settings,
        )
        blocks = ranks.blocks(lambda: (gallery[part] for part in shares(len(gallery), world)))
        part = sum_values(CHOICE.keys, rank_values(CHOICE, blocks))
        assert part.num_queries == own.stop - own.start
        total = part if total is None else total + part
    return total.metrics()


@pytest.mark.parametrize("world", [1, 2, 3, 4, 5])
def test_leave_one_out_over_any_number_of_ranks(dataset, world):
    embeddings, labels = dataset  # 301 rows, which more than one process cannot share equally
    ids = torch.arange(301)
    received = over_ranks(world, embeddings, labels, embeddings, labels, ids, ids, tile_size=64)
    assert figures(received) == figures(retrieval_metrics(embeddings, labels))


@pytest.mark.parametrize("world", [2, 5])
def test_query_and_gallery_with_shared_ids_and_labels_of_text(dataset, world):
    embeddings, labels = dataset
    names = [f"class {label}" for label in labels.tolist()]
    generator = torch.Generator().manual_seed(1)
    ids = [f"image {row}" for row in torch.randint(0, 100, (301,), generator=generator).tolist()]
    sets = embeddings[:93], names[:93], embeddings[50:], names[50:]
    expected = retrieval_metrics(*sets, query_ids=ids[:93], gallery_ids=ids[50:], ks=KS)
    assert figures(over_ranks(world, *sets, ids[:93], ids[50:])) == figures(expected)
    assert figures(over_ranks(world, *sets)) == figures(retrieval_metrics(*sets, ks=KS))


@pytest.mark.parametrize("num_rows", [1, 2, 3])
def test_fewer_rows_than_ranks(num_rows):
    embeddings, labels, ids = torch.eye(3)[:num_rows], torch.zeros(num_rows, dtype=torch.int64), torch.arange(num_rows)
    received = over_ranks(5, embeddings, labels, embeddings, labels, ids, ids)
    assert figures(received) == figures(retrieval_metrics(embeddings, labels))


@pytest.mark.parametrize(("num_queries", "tile_size"), [(20, 8), (80, 1024)])
def test_every_rank_is_that_of_a_full_sort(dataset, num_queries, tile_size):
    embeddings, labels = dataset
    queries, query_labels = embeddings[:num_queries], labels[:num_queries]
    expected = sorted_positive_ranks(
        queries, query_labels.tolist(), embeddings, labels.tolist(), range(num_queries), range(301)
    )
    ranks = ShardedRanks(
        queries,
        query_labels,
        labels,
        query_ids=torch.arange(num_queries),
        gallery_ids=torch.arange(301),
        every_rank=True,
        tile_size=tile_size,
    )
    shards = embeddings[:7], embeddings[:0], embeddings[7:200], embeddings[200:]
    assert as_lists(ranks.blocks(lambda: iter(shards)), num_queries) == [each.tolist() for each in expected]


def test_large_classes_take_several_rounds_and_others_wait_for_them(dataset, monkeypatch):
    embeddings, labels = dataset
    ids = {"query_ids": torch.arange(301), "gallery_ids": torch.arange(301)}
    whole = as_lists(ShardedRanks(embeddings, labels, labels, **ids).blocks(lambda: iter([embeddings])), 301)
    monkeypatch.setattr(module, "_MAX_ROUND_THRESHOLDS", 1_000)
    monkeypatch.setattr(ranked_block, "_MAX_THRESHOLDS", 300)
    ranks = ShardedRanks(embeddings, labels, labels, **ids)
    num_passes = 0

    def pass_over_gallery():
        nonlocal num_passes
        num_passes += 1
        yield from embeddings.split(90)

    assert as_lists(ranks.blocks(pass_over_gallery), 301) == whole
    assert num_passes == 2 * ranks.num_rounds
    num_passes = 0
    assert as_lists(ranks.blocks(pass_over_gallery, ranks.num_rounds + 2), 301) == whole
    assert num_passes == 2 * (ranks.num_rounds + 2)


def test_several_rounds_hold_no_more_thresholds_than_allowed(monkeypatch):
    monkeypatch.setattr(module, "_MAX_ROUND_THRESHOLDS", 1_000)
    monkeypatch.setattr(ranked_block, "_MAX_THRESHOLDS", 300)
    labels = torch.arange(300) % 3  # 100 positives each
    ranks = ShardedRanks(torch.eye(300), labels, labels)
    assert 100 * 300 / 1_000 <= ranks.num_rounds <= 100 * 300 / 500
    sizes = [block.ranks.numel() for block in ranks.blocks(lambda: iter([torch.eye(300)]))]
    assert max(sizes) <= 300
    assert sum(sizes) == 300 * 100


def test_no_queries_take_no_rounds_and_yield_nothing():
    ranks = ShardedRanks(torch.empty(0, 3), [], [1, 2])
    assert ranks.num_rounds == 0
    assert list(ranks.blocks(lambda: iter([torch.eye(3)[:2]]), 1)) == []


@pytest.mark.parametrize(
    ("shards", "error", "message"),
    [
        ([torch.eye(3)[:2]], ValueError, "one row for each of the 3 gallery labels, got 2 rows"),
        ([torch.eye(3), torch.eye(3)], ValueError, "one row for each of the 3 gallery labels, got 6 rows"),
        ([torch.eye(4)[:3]], ValueError, "one embedding dimension, got 3 and 4"),
        ([torch.eye(3) / 0], ValueError, "gallery_shards must be finite"),
        ([torch.eye(3).long()], TypeError, "gallery_shards must be a floating-point tensor"),
    ],
)
def test_wrong_shards_are_named(shards, error, message):
    ranks = ShardedRanks(torch.eye(3), [0, 0, 1], [0, 1, 1])
    with pytest.raises(error, match=message):
        list(ranks.blocks(lambda: iter(shards)))


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        ((torch.eye(3), [0, 1], [0]), {}, ValueError, "one label for each of the 3 embeddings, got 2"),
        ((torch.eye(3), [0, 1, 1], ["a"]), {}, TypeError, "one type for queries and gallery"),
        ((torch.eye(3) / 0, [0, 1, 1], [0]), {}, ValueError, "embeddings must be finite"),
        ((torch.eye(3), [0, 1, 1], [0]), {"query_ids": [0, 1, 2]}, ValueError, "gallery_ids is missing"),
        ((torch.eye(3), [0, 1, 1], [0]), {"tile_size": 12}, ValueError, "multiple of 8, got 12"),
    ],
)
def test_wrong_arguments_are_named(arguments, settings, error, message):
    with pytest.raises(error, match=message):
        ShardedRanks(*arguments, **settings)
