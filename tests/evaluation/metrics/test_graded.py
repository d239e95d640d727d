"""Metrics for graded relevance against scikit-learn, the metrics by one label, and lists sorted in numpy."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score, ndcg_score

from hf_vitret.evaluation.metrics import graded as module
from hf_vitret.evaluation.metrics.graded import GRADED_METRICS, graded_metrics, graded_query_metrics
from hf_vitret.evaluation.metrics.metric_choice import METRICS
from hf_vitret.evaluation.metrics.ndcg import ndcg_at_k
from hf_vitret.evaluation.metrics.relevance import GradedPairs, SharedLabels
from hf_vitret.evaluation.metrics.retrieval import query_metrics

KS = (1, 3, 10, 40, 1000)


def _unit(*shape, seed=0):
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=1)


def _grades(num_queries, num_gallery, seed=0):
    """Draw grades, most of which are 0; those of the last query are all 0."""
    generator = torch.Generator().manual_seed(seed)
    grades = torch.randint(-6, 4, (num_queries, num_gallery), generator=generator).clamp(min=0) / 2.0
    grades[-1] = 0
    return grades


def _relevance(grades):
    pairs = grades.nonzero()
    return GradedPairs(pairs, grades[tuple(pairs.T)], *grades.shape)


def _same(received, expected):
    assert received.keys() == expected.keys()
    for name, values in received.items():
        assert torch.equal(values.nan_to_num(-1), expected[name].nan_to_num(-1)), name


@pytest.mark.parametrize("ties", ["pessimistic", "expected"])
def test_one_label_an_image_gives_what_the_fast_path_gives(dataset, ties):
    embeddings, labels = dataset
    received = graded_query_metrics(
        embeddings, SharedLabels([[each] for each in labels.tolist()]), ks=KS, metrics=METRICS, ties=ties
    )
    _same(received, query_metrics(embeddings, labels, ks=KS, metrics=METRICS, ties=ties))


def test_ids_give_what_the_fast_path_gives(dataset):
    embeddings, labels = dataset
    ids = torch.randint(0, 20, (301,), generator=torch.Generator().manual_seed(1))
    arguments = {"query_ids": ids[:90], "gallery_ids": ids, "ks": KS}
    relevance = SharedLabels([[each] for each in labels[:90].tolist()], [[each] for each in labels.tolist()])
    _same(
        graded_query_metrics(embeddings[:90], relevance, embeddings, metrics=METRICS, **arguments),
        query_metrics(embeddings[:90], labels[:90], embeddings, labels, metrics=METRICS, **arguments),
    )


def test_scikit_learn_agrees_where_nothing_ties():
    queries, gallery, grades = _unit(40, 16), _unit(80, 16, seed=1), _grades(40, 80)
    received = graded_query_metrics(queries, _relevance(grades), gallery, ks=KS, metrics=["ndcg_at_k", "map"])
    scores = (queries.double() @ gallery.double().T).numpy()
    for row in range(39):
        one = grades[row : row + 1].numpy(), scores[row : row + 1]
        for k in KS:
            assert float(received[f"ndcg_at_{k}"][row]) == pytest.approx(ndcg_score(*one, k=k), abs=1e-12)
        assert float(received["map"][row]) == pytest.approx(
            average_precision_score(one[0][0] > 0, one[1][0]), abs=1e-12
        )
    assert all(math.isnan(values[39]) for values in received.values())


def _lattice(num_rows, seed):
    """Draw rows whose scores are multiples of 1/4, so that ties are exact."""
    return torch.randint(-2, 3, (num_rows, 3), generator=torch.Generator().manual_seed(seed)) / 2.0


def test_expected_ndcg_with_ties_is_that_of_scikit_learn():
    queries, gallery, grades = _lattice(40, 0), _lattice(80, 1), _grades(40, 80)
    received = graded_query_metrics(queries, _relevance(grades), gallery, ks=KS, metrics=["ndcg_at_k"], ties="expected")
    scores = (queries @ gallery.T).numpy()
    for row in range(39):
        for k in KS:
            expected = ndcg_score(grades[row : row + 1].numpy(), scores[row : row + 1], k=k)
            assert float(received[f"ndcg_at_{k}"][row]) == pytest.approx(expected, abs=1e-12)


def test_pessimistic_ndcg_takes_the_less_relevant_of_what_ties_first():
    queries, gallery, grades = _lattice(40, 0), _lattice(80, 1), _grades(40, 80)
    received = graded_query_metrics(queries, _relevance(grades), gallery, ks=KS, metrics=["ndcg_at_k"])
    scores = (queries @ gallery.T).numpy()
    for row in range(39):
        values = grades[row].numpy()
        ranked = values[np.lexsort((values, -scores[row]))]
        for k in KS:
            discounts = 1 / np.log2(np.arange(2, min(k, 80) + 2))
            best = (np.sort(values)[::-1][:k] * discounts).sum()
            assert float(received[f"ndcg_at_{k}"][row]) == pytest.approx(
                (ranked[:k] * discounts).sum() / best, abs=1e-12
            )


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_noise_of_an_embedding_does_not_order_what_ties(order):
    """The scores of four images differ by 3e-7: in any order, the negative ranks first, the most relevant one last."""
    gallery = torch.stack([torch.tensor([1.0 - 3e-7 * step, 0.0]) for step in order])
    relevance = GradedPairs([(0, 1), (0, 2), (0, 3)], [1.0, 2.0, 5.0], 1, 4)
    received = graded_metrics(torch.tensor([[1.0, 0.0]]), relevance, gallery, ks=[1, 10], metrics=GRADED_METRICS)
    worst = ndcg_at_k(torch.tensor([[1, 2, 3]]), torch.tensor([[1.0, 2.0, 5.0]]).double(), 10)
    assert received["ndcg_at_10"] == float(worst)
    assert (received["ndcg_at_1"], received["recall_at_1"], received["mrr"]) == (0, 0, 0.5)


def test_a_collapsed_model_scores_chance_where_ties_are_expected_and_the_worst_where_not():
    embeddings = _unit(1, 8).expand(61, 8)
    relevance = SharedLabels([["a", "b"] if row == 0 else ["a"] if row < 3 else ["c", row] for row in range(61)])
    received = graded_query_metrics(embeddings, relevance, ks=[5], metrics=["ndcg_at_k"], ties="expected")
    discounts = sum(1 / math.log2(rank + 1) for rank in range(1, 6))
    ideal = 1 + 1 / math.log2(3)
    assert float(received["ndcg_at_5"][1]) == pytest.approx(2 * discounts / 60 / ideal)
    assert graded_metrics(embeddings, relevance, ks=[5])["ndcg_at_5"] < 0.96  # the other images have one class
    assert float(graded_query_metrics(embeddings, relevance, ks=[5])["ndcg_at_5"][1]) == 0


@pytest.mark.parametrize("ties", ["pessimistic", "expected"])
def test_what_is_ignored_is_as_good_as_not_there(monkeypatch, ties):
    monkeypatch.setattr(module, "_MAX_SCORES", 120)  # three queries at a time
    queries, gallery, grades = _lattice(20, 0), _lattice(40, 1), _grades(20, 40)
    is_ignored = torch.rand(20, 40, generator=torch.Generator().manual_seed(2)) < 0.3
    arguments = {"ks": KS, "metrics": GRADED_METRICS, "ties": ties}
    received = graded_query_metrics(
        queries, _relevance(grades), gallery, ignored=is_ignored.nonzero().flip(0), **arguments
    )
    for row in range(20):
        kept = ~is_ignored[row]
        alone = graded_query_metrics(
            queries[row : row + 1], _relevance(grades[row : row + 1, kept]), gallery[kept], **arguments
        )
        _same({name: values[row : row + 1] for name, values in received.items()}, alone)


def test_the_values_do_not_depend_on_the_blocks(monkeypatch):
    embeddings, labels = _lattice(60, 0), [[row % 7, 10 + row % 5] for row in range(60)]
    results = []
    for max_scores in (1, 500, 4_000_000):
        monkeypatch.setattr(module, "_MAX_SCORES", max_scores)
        results.append(
            {
                ties: graded_metrics(embeddings, SharedLabels(labels), ks=KS, metrics=GRADED_METRICS, ties=ties)
                for ties in ("pessimistic", "expected")
            }
        )
    assert results[0] == results[1] == results[2]
    assert 0 < results[0]["pessimistic"]["ndcg_at_10"] < results[0]["expected"]["ndcg_at_10"] < 1


def test_means_are_those_of_the_queries_with_a_positive():
    queries, gallery, grades = _unit(40, 16), _unit(80, 16, seed=1), _grades(40, 80)
    received = graded_metrics(queries, _relevance(grades), gallery, ks=KS)
    values = graded_query_metrics(queries, _relevance(grades), gallery, ks=KS)
    assert list(received) == [*values, "num_queries", "num_queries_without_positive"]
    assert (received["num_queries"], received["num_queries_without_positive"]) == (40, 1)
    for name, each in values.items():
        assert received[name] == pytest.approx(float(each[:39].mean()), abs=1e-12)


EMBEDDINGS = torch.eye(3)
ONES = SharedLabels([[1], [1], [1]])


@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        ((EMBEDDINGS, SharedLabels([[1]])), {}, ValueError, "the 3 queries and the 3 gallery embeddings, got 1 and 1"),
        ((EMBEDDINGS, ONES), {"query_ids": [0, 1, 2]}, ValueError, "need a gallery"),
        ((EMBEDDINGS, ONES), {"ignored": [(0, 3)]}, ValueError, r"ignored must be rows .* got \(0, 3\)"),
        (
            (EMBEDDINGS, ONES),
            {"metrics": ["ndcg"]},
            ValueError,
            "some of recall_at_k, .*ndcg_at_k, each once; got ndcg",
        ),
        ((EMBEDDINGS, ONES, torch.eye(3)[:, :2]), {}, ValueError, "one embedding dimension, got 3 and 2"),
        ((EMBEDDINGS.where(EMBEDDINGS > 0, torch.nan), ONES), {}, ValueError, "NaN or infinity in row 0, 1, 2"),
    ],
)
def test_wrong_arguments_are_named(arguments, settings, error, message):
    for function in (graded_metrics, graded_query_metrics):
        with pytest.raises(error, match=message):
            function(*arguments, **settings)
