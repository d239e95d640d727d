"""Retrieval metrics against a full sort of all scores, an independent loop and pytorch-metric-learning."""

import math

import numpy as np
import pytest
import torch

from hf_vitret.evaluation import retrieval_metrics
from hf_vitret.evaluation.metrics.metric_choice import METRICS
from hf_vitret.evaluation.metrics.retrieval import query_metrics
from hf_vitret.evaluation.ranking import tiles
from tests.evaluation.ranking_oracle import (
    ALL_METRICS,
    expected_metrics_of_list,
    metrics_by_sorting,
    metrics_of_list,
    names_of,
    sorted_positive_ranks,
)


def _equal(received, expected):
    assert list(received) == list(expected)
    assert received == pytest.approx(expected, abs=1e-12, nan_ok=True)


def text(values):
    """Return floats with all their bits as text, so that nan equals nan."""
    return {name: float(value).hex() for name, value in values.items() if not name.startswith("num_")}


def _unit(*shape, seed=0):
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_leave_one_out_is_the_full_sort(dataset):
    embeddings, labels = dataset
    _equal(retrieval_metrics(embeddings, labels), metrics_by_sorting(embeddings, labels.tolist()))


def test_every_metric_is_that_of_the_full_sort(dataset):
    embeddings, labels = dataset
    ks = (1, 2, 7, 50, 500)
    received = retrieval_metrics(embeddings, labels, ks=ks, metrics=METRICS)
    _equal(received, metrics_by_sorting(embeddings, labels.tolist(), ks=ks, metrics=ALL_METRICS))
    for name in METRICS:  # each metric alone, which resolves only the ranks that it needs
        alone = retrieval_metrics(embeddings, labels, ks=ks, metrics=[name])
        assert text(alone) == text({key: received[key] for key in alone})


def test_a_memory_budget_bounds_the_tiles_and_changes_nothing(dataset, monkeypatch):
    embeddings, labels = dataset
    made = []
    init = tiles.Tiles.__init__
    monkeypatch.setattr(tiles.Tiles, "__init__", lambda self, order, size: made.append(size) or init(self, order, size))
    for gallery in ({}, {"gallery_embeddings": embeddings, "gallery_labels": labels}):
        expected = text(retrieval_metrics(embeddings, labels, **gallery))
        made.clear()
        assert text(retrieval_metrics(embeddings, labels, **gallery, memory_budget=40_000)) == expected
        assert all(2 * 4 * size <= 40_000 + 2 * 4 * 7 * 80 for size in made), made  # with up to 7 rows of padding
    with pytest.raises(ValueError, match=r"512 bytes or more, got 511"):
        retrieval_metrics(embeddings, labels, memory_budget=511)


def _small_case(seed):
    """Draw a small set with few or many distinct scores, duplicates, singletons, and classes that the gallery lacks."""
    generator = np.random.default_rng(seed)
    num_queries, num_gallery, dim = (int(each) for each in generator.integers((1, 1, 1), (9, 25, 4)))
    levels = int(generator.choice([1, 2, 4, 1_000]))
    rows = generator.integers(-levels, levels + 1, size=(num_queries + num_gallery, dim)) / levels
    rows[generator.random(len(rows)) < 0.3] = rows[0]
    labels = generator.integers(0, int(generator.integers(1, 30)), size=len(rows)) + 2**62
    return torch.from_numpy(rows).float(), labels.tolist(), num_queries


def test_200_small_cases_are_the_naive_loop():
    num_without, num_evaluated = 0, 0
    for seed in range(200):
        rows, labels, num_queries = _small_case(seed)
        if seed % 2:
            sets = (rows, labels)
            arguments = {}
        else:
            sets = (rows[:num_queries], labels[:num_queries], rows[num_queries:], labels[num_queries:])
            ids = np.random.default_rng(seed).integers(0, 6, size=len(rows)).tolist()
            arguments = {"query_ids": ids[:num_queries], "gallery_ids": ids[num_queries:]} if seed % 4 else {}
        received = retrieval_metrics(*sets, **arguments, ks=(1, 2, 3, 10), metrics=METRICS)
        _equal(received, metrics_by_sorting(*sets, **arguments, ks=(1, 2, 3, 10), metrics=ALL_METRICS))
        num_without += received["num_queries_without_positive"]
        num_evaluated += received["num_queries"] - received["num_queries_without_positive"]
    assert min(num_without, num_evaluated) > 300


def test_the_values_of_each_query_are_those_of_its_list(dataset):
    embeddings, labels = dataset
    ks = (1, 7, 50)
    received = query_metrics(embeddings, labels, ks=ks, metrics=METRICS)
    means = retrieval_metrics(embeddings, labels, ks=ks, metrics=METRICS)
    assert list(received) == names_of(ALL_METRICS, ks)
    lists = sorted_positive_ranks(embeddings, labels.tolist())
    nothing = dict.fromkeys(received, math.nan)
    expected = [metrics_of_list(ranks.tolist(), ks) if len(ranks) else nothing for ranks in lists]
    for name, values in received.items():
        assert values.dtype == torch.float64
        assert values.tolist() == pytest.approx([each[name] for each in expected], abs=1e-12, nan_ok=True)
        assert float(values.nanmean()) == pytest.approx(means[name], abs=1e-12, nan_ok=True)


def _exact_ties(generator, num_rows=120):
    """Draw rows whose scores are multiples of 1/4, so that ties are exact."""
    return torch.randint(-2, 3, (num_rows, 4), generator=generator) / 2.0


@pytest.mark.parametrize("num_classes", [3, 25, 100])
def test_expected_values_are_those_of_a_loop_over_lists_with_ties(num_classes):
    generator = torch.Generator().manual_seed(num_classes)
    embeddings, labels = _exact_ties(generator), torch.randint(0, num_classes, (120,), generator=generator)
    ks = (1, 2, 7, 50, 500)
    received = query_metrics(embeddings, labels, ks=ks, metrics=METRICS, ties="expected")
    means = retrieval_metrics(embeddings, labels, ks=ks, metrics=METRICS, ties="expected")
    scores = (embeddings @ embeddings.T).tolist()
    for row in range(120):
        others = [item for item in range(120) if item != row]
        is_right = [bool(labels[item] == labels[row]) for item in others]
        values = {name: float(each[row]) for name, each in received.items()}
        if any(is_right):
            expected = expected_metrics_of_list([scores[row][item] for item in others], is_right, ks)
            assert values == pytest.approx({name: expected[name] for name in values}, abs=1e-12)
        else:
            assert all(map(math.isnan, values.values()))
    assert means == pytest.approx(
        {name: float(values.nanmean()) for name, values in received.items()}
        | {name: means[name] for name in ("num_queries", "num_queries_without_positive")},
        abs=1e-12,
    )


def test_expected_values_lie_above_the_pessimistic_ones_and_are_equal_where_nothing_ties(dataset):
    embeddings, labels = dataset
    pessimistic = query_metrics(embeddings, labels, ks=(1, 5, 50), metrics=METRICS)
    expected = query_metrics(embeddings, labels, ks=(1, 5, 50), metrics=METRICS, ties="expected")
    optimistic = sorted_positive_ranks(embeddings, labels.tolist(), ties="optimistic")
    is_tied = torch.tensor(
        [
            best.tolist() != worst.tolist()
            for best, worst in zip(optimistic, sorted_positive_ranks(embeddings, labels.tolist()), strict=True)
        ]
    )
    for name, values in expected.items():
        assert bool((values >= pessimistic[name] - 1e-12)[~values.isnan()].all())
        assert torch.allclose(values[~is_tied], pessimistic[name][~is_tied], rtol=0, atol=1e-12, equal_nan=True)


def test_a_collapsed_model_scores_chance_where_ties_are_expected():
    embeddings, labels = _unit(1, 384).expand(300, 384), torch.arange(300) // 3
    metrics = retrieval_metrics(embeddings, labels, ks=(1, 10, 1000), metrics=METRICS, ties="expected")
    # Each list has 299 items in random order, two of them positives.
    assert metrics["recall_at_1"] == pytest.approx(2 / 299)
    assert metrics["recall_at_10"] == pytest.approx(1 - 289 * 288 / (299 * 298))
    assert metrics["precision_at_1"] == metrics["r_precision"] == pytest.approx(2 / 299)
    assert metrics["precision_at_10"] == pytest.approx(2 / 299)
    assert metrics["mrr"] == pytest.approx(sum(2 * (299 - rank) / (299 * 298) / rank for rank in range(1, 299)))
    assert metrics["recall_at_1000"] == pytest.approx(1)


def test_query_and_gallery_is_the_full_sort(dataset):
    embeddings, labels = dataset
    sets = embeddings[:100], labels[:100], embeddings[100:], labels[100:]
    _equal(
        retrieval_metrics(*sets, ks=(1, 3, 500)),
        metrics_by_sorting(sets[0], sets[1].tolist(), sets[2], sets[3].tolist(), ks=(1, 3, 500)),
    )


def test_a_gallery_with_ids_is_leave_one_out(dataset):
    embeddings, labels = dataset
    ids = [f"image-{row}" for row in range(301)]
    _equal(
        retrieval_metrics(embeddings, labels, embeddings, labels, query_ids=ids, gallery_ids=ids),
        retrieval_metrics(embeddings, labels),
    )


@pytest.mark.parametrize("does_repeat_ids", [False, True])
def test_one_tensor_may_be_queries_and_gallery_of_other_labels_or_ids_that_repeat(does_repeat_ids):
    embeddings, labels, ids = _unit(60, 8), torch.arange(60) % 7, torch.arange(60) % 11
    others = labels if does_repeat_ids else labels.roll(1)
    arguments = {"query_ids": ids.tolist(), "gallery_ids": ids.tolist()} if does_repeat_ids else {}
    received = retrieval_metrics(embeddings, labels, embeddings, others, **arguments, metrics=METRICS)
    sets = embeddings, labels.tolist(), embeddings, others.tolist()
    _equal(received, metrics_by_sorting(*sets, **arguments, metrics=ALL_METRICS))


def test_shards_of_the_queries_average_to_the_whole(dataset):
    embeddings, labels = dataset
    ids = torch.arange(301)
    whole = retrieval_metrics(embeddings, labels)
    shards = [
        retrieval_metrics(embeddings[s], labels[s], embeddings, labels, query_ids=ids[s], gallery_ids=ids)
        for s in (slice(0, 50), slice(50, 301))
    ]
    weights = [shard["num_queries"] - shard["num_queries_without_positive"] for shard in shards]
    assert sum(weights) == 301 - whole["num_queries_without_positive"]
    if sum(weights):
        for name in ("recall_at_1", "recall_at_10", "map_at_r", "r_precision"):
            total = sum(shard[name] * weight for shard, weight in zip(shards, weights, strict=True) if weight)
            assert total / sum(weights) == pytest.approx(whole[name], abs=1e-12)


def test_the_order_of_the_items_does_not_matter(dataset):
    embeddings, labels = dataset
    order = torch.randperm(301, generator=torch.Generator().manual_seed(5))
    _equal(retrieval_metrics(embeddings[order], labels[order]), retrieval_metrics(embeddings, labels))


def test_pytorch_metric_learning_agrees_where_nothing_ties():
    calculator = pytest.importorskip("pytorch_metric_learning.utils.accuracy_calculator").AccuracyCalculator
    knn = pytest.importorskip("pytorch_metric_learning.utils.inference").CustomKNN
    similarity = pytest.importorskip("pytorch_metric_learning.distances").DotProductSimilarity
    labels = torch.randint(0, 50, (400,), generator=torch.Generator().manual_seed(1))
    embeddings = torch.nn.functional.normalize(_unit(50, 32, seed=2)[labels] + 0.9 * _unit(400, 32, seed=3), dim=1)
    theirs = calculator(
        include=("precision_at_1", "mean_average_precision_at_r", "r_precision"),
        k=399,
        knn_func=knn(similarity(normalize_embeddings=False)),
    ).get_accuracy(embeddings, labels)
    ours = retrieval_metrics(embeddings, labels)
    assert 0.1 < ours["map_at_r"] < 0.95
    assert ours["recall_at_1"] == pytest.approx(theirs["precision_at_1"], abs=1e-6)
    assert ours["map_at_r"] == pytest.approx(theirs["mean_average_precision_at_r"], abs=1e-6)
    assert ours["r_precision"] == pytest.approx(theirs["r_precision"], abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_collapsed_model_finds_nothing(dtype):
    embeddings = _unit(1, 384).expand(500, 384).to(dtype)
    metrics = retrieval_metrics(embeddings, torch.arange(500) // 2)
    # 498 negatives tie with the one positive, and all rank ahead of it.
    assert metrics["recall_at_1"] == metrics["recall_at_100"] == metrics["map_at_r"] == metrics["r_precision"] == 0
    assert metrics["recall_at_1000"] == 1
    others = retrieval_metrics(embeddings, torch.arange(500) // 2, ks=[498], metrics=["mrr", "map", "precision_at_k"])
    assert others["mrr"] == others["map"] == pytest.approx(1 / 499)
    assert others["precision_at_498"] == 0


def test_exact_duplicates_of_the_right_item_under_another_label_rank_ahead_of_it():
    embeddings = _unit(64, 384)
    labels = torch.arange(64)
    metrics = retrieval_metrics(
        embeddings, labels, torch.cat([embeddings, embeddings]), torch.cat([labels, labels + 1000]), ks=(1, 2)
    )
    assert (metrics["recall_at_1"], metrics["recall_at_2"]) == (0, 1)


def test_half_precision_is_scored_in_float32():
    embeddings, labels = _unit(200, 64).bfloat16(), torch.arange(200) % 30
    _equal(retrieval_metrics(embeddings, labels), retrieval_metrics(embeddings.float(), labels))


@pytest.mark.parametrize("first", [2**24, 100_000_000, 2**63 - 301, -(2**63)])
def test_labels_stay_exact_at_any_size(dataset, first):
    embeddings, labels = dataset
    large = [first + int(label) for label in labels]
    expected = retrieval_metrics(embeddings, labels)
    for form in (large, np.array(large), torch.tensor(large), [str(label) for label in large]):
        _equal(retrieval_metrics(embeddings, form), expected)


def test_labels_of_one_class_and_all_of_their_own():
    embeddings = _unit(100, 8)
    one = retrieval_metrics(embeddings, [5] * 100)
    assert one["recall_at_1"] == one["map_at_r"] == one["r_precision"] == 1
    different = retrieval_metrics(embeddings, list(range(100)))
    assert math.isnan(different["recall_at_1"])
    assert math.isnan(different["map_at_r"])
    assert different["num_queries"] == different["num_queries_without_positive"] == 100


def test_one_item():
    assert retrieval_metrics(_unit(1, 8), [0])["num_queries_without_positive"] == 1


def test_ks_come_sorted_and_once_and_may_exceed_the_gallery():
    metrics = retrieval_metrics(_unit(20, 8), [0, 1] * 10, ks=(50, 2, 2, 1))
    assert list(metrics)[:3] == ["recall_at_1", "recall_at_2", "recall_at_50"]
    assert metrics["recall_at_50"] == 1


def test_the_precision_of_training_changes_nothing_and_is_left_as_it_was():
    embeddings, labels = _unit(500, 64), torch.arange(500) // 3
    expected = retrieval_metrics(embeddings, labels)
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            _equal(retrieval_metrics(embeddings.requires_grad_(), labels), expected)
            assert (embeddings @ embeddings.T).dtype == torch.bfloat16
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


EMBEDDINGS = torch.eye(3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            (EMBEDDINGS, [0.0, 1.0, 1.0]),
            TypeError,
            "labels must be integers or strings, got a sequence that contains floats",
        ),
        ((EMBEDDINGS, torch.zeros(3)), TypeError, "labels must be integers or strings, got torch.float32"),
        ((EMBEDDINGS, np.zeros(3)), TypeError, "labels must be integers or strings, got float64"),
        ((EMBEDDINGS, [0, 1, 2**63]), ValueError, "labels must fit int64"),
        ((EMBEDDINGS, torch.zeros(3, 1, dtype=torch.int64)), ValueError, "one-dimensional"),
        ((EMBEDDINGS, [0, 1]), ValueError, "one label for each of the 3 embeddings, got 2"),
        ((EMBEDDINGS, [0, 1, 1], EMBEDDINGS), ValueError, "must come together"),
        ((EMBEDDINGS, [0, 1, 1], EMBEDDINGS, [0, 1]), ValueError, "gallery_labels must have one label"),
        ((EMBEDDINGS, [0, 1, 1], EMBEDDINGS, ["a", "b", "c"]), TypeError, "one type for queries and gallery"),
        ((EMBEDDINGS, [0, 1, 1], torch.eye(4), [0, 1, 1, 1]), ValueError, "one embedding dimension, got 3 and 4"),
        ((EMBEDDINGS[:0], []), ValueError, r"at least one row, got shape \(0, 3\)"),
        ((EMBEDDINGS[0], [0]), ValueError, r"\(num_rows, dim\)"),
        ((EMBEDDINGS.long(), [0, 1, 1]), TypeError, "floating-point tensor, got torch.int64"),
        ((torch.tensor([[1.0], [math.nan], [math.inf]]), [0, 1, 1]), ValueError, "infinity in row 1, 2"),
        (
            (EMBEDDINGS, [0, 1, 1], torch.full((3, 3), math.nan), [0, 1, 1]),
            ValueError,
            "gallery_embeddings must be finite in float32, got NaN or infinity in row 0, 1, 2",
        ),
    ],
)
def test_wrong_input_is_named(arguments, error, message):
    for function in (retrieval_metrics, query_metrics):
        with pytest.raises(error, match=message):
            function(*arguments)


def test_metrics_and_rules_that_are_unknown_are_named():
    with pytest.raises(ValueError, match="each once; got ndcg_at_k"):
        retrieval_metrics(EMBEDDINGS, [0, 1, 1], metrics=["ndcg_at_k"])
    with pytest.raises(ValueError, match="ties must be one of pessimistic, expected; got 'average'"):
        retrieval_metrics(EMBEDDINGS, [0, 1, 1], ties="average")


@pytest.mark.parametrize("ks", [(0,), (-1, 1), (1.5,), (True,)])
def test_wrong_ks_are_named(ks):
    with pytest.raises(ValueError, match="ks must be integers of at least 1, got"):
        retrieval_metrics(EMBEDDINGS, [0, 1, 1], ks=ks)


def test_ids_without_their_partner_or_a_gallery_are_refused():
    with pytest.raises(ValueError, match="gallery_ids is missing"):
        retrieval_metrics(EMBEDDINGS, [0, 1, 1], EMBEDDINGS, [0, 1, 1], query_ids=[0, 1, 2])
    with pytest.raises(ValueError, match="need a gallery"):
        retrieval_metrics(EMBEDDINGS, [0, 1, 1], query_ids=[0, 1, 2], gallery_ids=[0, 1, 2])
