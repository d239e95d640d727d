"""Metrics of ranked lists against a loop over each list, and against the metrics of the embeddings."""

import numpy as np
import pytest
import torch

from hf_vitret import nearest_neighbors, retrieval_metrics
from hf_vitret.evaluation.metrics.metric_choice import METRICS
from hf_vitret.evaluation.metrics.ranked_lists import ranked_list_metrics, ranks_of_lists
from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED
from tests.evaluation.ranking_oracle import ALL_METRICS, metrics_of_list, names_of

KS = (1, 2, 5, 100)


def drawn_lists(num_queries=100, num_ids=30):
    """Draw lists of at most 12 of 30 ids, with relevant and ignored ids, some of which are in the list."""
    generator = np.random.default_rng(0)
    ranked, relevant, ignored = [], [], []
    for _ in range(num_queries):
        order = generator.permutation(num_ids).tolist()
        num_relevant, num_ignored = generator.integers(0, 8, size=2)
        relevant.append(order[:num_relevant])
        ignored.append(order[num_relevant : num_relevant + num_ignored])
        ranked.append(generator.permutation(num_ids)[: generator.integers(0, 13)].tolist())
    return ranked, relevant, ignored


def test_metrics_are_those_of_a_loop_over_the_lists_without_ignored_ids():
    ranked, relevant, ignored = drawn_lists()
    received = ranked_list_metrics(ranked, relevant, ignored, ks=KS, metrics=METRICS)
    values, ranks, num_positives = [], *ranks_of_lists(ranked, relevant, ignored)
    for row in range(100):
        kept = [item for item in ranked[row] if item not in ignored[row]]
        found = [rank for rank, item in enumerate(kept) if item in relevant[row]]
        padding = [UNRESOLVED] * (ranks.shape[1] - len(found))
        assert ranks[row].tolist() == found + padding
        assert num_positives[row] == len(relevant[row])
        if relevant[row]:
            values.append(metrics_of_list(found, KS, num_positives=len(relevant[row])))
    assert 0 < len(values) < 100
    assert list(received) == [*names_of(ALL_METRICS, KS), "num_queries", "num_queries_without_positive"]
    for name in names_of(ALL_METRICS, KS):
        assert received[name] == pytest.approx(np.mean([each[name] for each in values]), abs=1e-12)
    assert (received["num_queries"], received["num_queries_without_positive"]) == (100, 100 - len(values))


@pytest.mark.parametrize("form", [torch.tensor, np.array, list])
def test_lists_of_any_form_give_the_same_ranks(form):
    ranked, relevant, ignored = (
        [row + [-1] * (15 - len(row)) for row in lists] if form is not list else lists for lists in drawn_lists()
    )
    received = ranks_of_lists(form(ranked), form(relevant), form(ignored))
    expected = ranks_of_lists(*drawn_lists())
    assert all(torch.equal(*pair) for pair in zip(received, expected, strict=True))


def test_the_ids_may_be_strings_or_large():
    for first, second, third in (("a", "b", "c"), (2**62 + 1, 2**62 + 2, 2**62)):
        ranks, num_positives = ranks_of_lists([[first, second]], [[second, third]], [[first]])
        assert ranks.tolist() == [[0, UNRESOLVED]]
        assert num_positives.tolist() == [2]


def test_the_lists_of_a_whole_search_score_as_the_search_does():
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(60, 8, generator=generator), dim=1)
    labels, ids = torch.randint(0, 12, (60,), generator=generator), torch.arange(60)
    _, ranked = nearest_neighbors(embeddings, embeddings, 59, query_ids=ids, gallery_ids=ids)
    relevant = [[item for item in range(60) if item != row and labels[item] == labels[row]] for row in range(60)]
    received = ranked_list_metrics(ranked, relevant, ks=KS, metrics=METRICS)
    assert received == retrieval_metrics(embeddings, labels, ks=KS, metrics=METRICS)
    # Most engines return the query in its own list; the result is the same once it is ignored.
    _, ranked = nearest_neighbors(embeddings, embeddings, 60)
    assert ranked_list_metrics(ranked, relevant, ids[:, None], ks=KS, metrics=METRICS) == received


def test_no_item_at_all():
    ranks, num_positives = ranks_of_lists([[], [-1]], [[5], []])
    assert ranks.tolist() == [[UNRESOLVED], [UNRESOLVED]]
    assert num_positives.tolist() == [1, 0]
    assert ranked_list_metrics([[], [-1]], [[5], []], ks=[1])["recall_at_1"] == 0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            ([[1, 2], [3, 4, 3]], [[1], [4]]),
            ValueError,
            "ranked_ids must hold an id once in each list, got 3 in query 1",
        ),
        (([["x"]], [["y", "y"]]), ValueError, "relevant_ids must hold an id once for each query, got y in query 0"),
        (
            ([[1], [2]], [[1], [2]], [[2], [2]]),
            ValueError,
            "relevant or ignored to a query, not both, got 2 in query 1",
        ),
        (([[1], [2]], [[1]]), ValueError, "relevant_ids must have one list for each of the 2 queries, got 1"),
        (([[1]], [[1]], []), ValueError, "ignored_ids must have one list for each of the 1 queries, got 0"),
        ((torch.tensor([1, 2]), [[1], [2]]), ValueError, r"\(num_queries, length\), got shape \(2,\)"),
        ((torch.ones(1, 2), [[1]]), TypeError, "ids must be integers or strings, got torch.float32"),
        (([[1.0]], [[1]]), TypeError, "ids must be integers or strings, got a sequence that contains floats"),
        (([["1"]], [[1]]), TypeError, "ids must be of one type for queries and gallery"),
        ((["ab"], [["ab"]]), TypeError, "one list for each query, got one string"),
    ],
)
def test_wrong_lists_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        ranks_of_lists(*arguments)
