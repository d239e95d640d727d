"""Metrics of embeddings against a sort of exact scores, for any chunks; ties count against the model."""

import numpy as np
import pytest
import torch

from hf_vitret.data.landmarks.revisited_ground_truth import RevisitedGroundTruth
from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED
from hf_vitret.evaluation.revisited.labelled_images import LabelledImages
from hf_vitret.evaluation.revisited.metrics import (
    revisited_metrics,
    revisited_query_metrics,
    revisited_query_metrics_of_ranking,
)
from hf_vitret.evaluation.revisited.scored_ranks import num_ahead_by_score
from tests.evaluation.revisited.oracle import metrics_of_queries

KS = (1, 5, 10)


def unit(*shape: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=1)


def pessimistic_rankings(queries: torch.Tensor, gallery: torch.Tensor, truth) -> list[list[int]]:
    """Sort exact scores, less the tolerance for labelled images; of equal ones, unlabelled images come first."""
    scores = (queries.double() @ gallery.double().T).float()
    rankings = []
    for query, row in enumerate(scores):
        labelled = {int(image) for part in (truth.easy, truth.hard, truth.junk) for image in part[query]}
        norms = [float(queries[query].norm() * gallery[image].norm()) for image in range(len(gallery))]
        keys = [
            (-float(score) + 2e-6 * norms[image] * (image in labelled), image in labelled)
            for image, score in enumerate(row)
        ]
        rankings.append(sorted(range(len(row)), key=keys.__getitem__))
    return rankings


def assert_same(found, expected) -> None:
    assert list(found) == list(expected)
    for name, values in found.items():
        np.testing.assert_allclose(values.numpy(), np.array(expected[name]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["apart", "of several lengths", "with ties", "half"])
def test_equals_the_rules_on_sorted_scores(make_truth, kind: str) -> None:
    truth = make_truth(10, 60, 12, seed=1)
    queries, gallery = unit(10, 8, seed=2), unit(90, 8, seed=3)
    if kind == "of several lengths":
        queries, gallery = queries * 3, gallery * torch.linspace(0.5, 2, 90)[:, None]
    elif kind == "with ties":
        queries, gallery = queries.sign(), gallery.sign()  # nine distinct scores, all of them exact
    elif kind == "half":
        queries, gallery = queries.half(), gallery.half()
    expected = metrics_of_queries(pessimistic_rankings(queries.float(), gallery.float(), truth), truth, KS)
    assert_same(revisited_query_metrics(queries, gallery, truth), expected)
    for sizes in ([30], [1, 28, 1], [7] * 4 + [2]):
        chunks = iter(gallery[60:].split(sizes))
        assert_same(revisited_query_metrics(queries, gallery[:60], truth, distractors=chunks), expected)


def test_counts_do_not_depend_on_tiles_or_chunks(make_truth) -> None:
    """The rows are so near each other that float32 products of other shapes would swap them."""
    truth = make_truth(20, 200, 30, seed=4)
    labelled = LabelledImages.of(truth)
    gallery = torch.nn.functional.normalize(unit(1, 128, seed=5) + 1e-4 * unit(700, 128, seed=6), dim=1)
    queries = unit(20, 128, seed=7)
    scores = (queries.double() @ gallery.double().T).float()
    scores[labelled.queries, labelled.rows] -= 2e-6  # the tolerance for unit norms
    limits = scores[labelled.queries, labelled.rows]
    scores[labelled.queries, labelled.rows] = -torch.inf
    expected = (scores[labelled.queries] >= limits.unsqueeze(1)).sum(dim=1).numpy()
    expected[~labelled.are_positive] = UNRESOLVED
    for tile_size in (8, 16, 64, None):
        found = num_ahead_by_score(
            queries, gallery[:333], labelled, distractors=gallery[333:].split(41), tile_size=tile_size
        )
        np.testing.assert_array_equal(found, expected)


def test_what_ties_with_an_image_ranks_ahead_of_it() -> None:
    truth = RevisitedGroundTruth(["a", "nothing"], list("xyz"), [(0, 0, 1, 1)] * 2, [[0], [0]], [[], []], [[1], []])
    for score, num_ahead in ((0.8 - 1e-6, 1), (0.8 - 4e-6, 0), (0.8, 1)):
        gallery = torch.tensor([[0.8, 0.6], [1.0, 0.0], [score, (1 - score**2) ** 0.5]])
        found = num_ahead_by_score(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), gallery, LabelledImages.of(truth))
        assert found.tolist() == [num_ahead, UNRESOLVED, 2]  # junk is not counted; a vector of zeros ties with all


def test_a_sort_of_scores_that_are_apart_gives_the_same_metrics(make_truth) -> None:
    truth = make_truth(70, 4_993, 150, seed=8)
    queries, gallery = unit(70, 32, seed=9), unit(6_000, 32, seed=10)
    order = (queries.double() @ gallery.double().T).argsort(dim=1, descending=True)
    expected = revisited_query_metrics_of_ranking(order, truth)
    found = revisited_query_metrics(queries, gallery[:5_000], truth, distractors=[gallery[5_000:]])
    for name, values in found.items():  # a few of 400,000 pairs are within the tolerance
        torch.testing.assert_close(values, expected[name], atol=2e-3, rtol=0, equal_nan=True)


def test_a_model_that_maps_all_images_to_one_vector_scores_next_to_nothing(make_truth) -> None:
    truth = make_truth(10, 60, 5, seed=11)
    metrics = revisited_metrics(torch.ones(10, 4) / 2, torch.ones(500, 4) / 2, truth)
    assert metrics["medium_map"] < 0.02
    assert metrics["medium_precision_at_1"] == 0


def test_a_set_without_labelled_images(make_truth) -> None:
    metrics = revisited_metrics(unit(2, 4, seed=0), unit(10, 4, seed=1), make_truth(2, 10, 0, seed=0))
    assert np.isnan(metrics["medium_map"])


@pytest.mark.parametrize(
    ("queries", "gallery", "distractors", "message"),
    [
        (unit(9, 4, seed=0), unit(60, 4, seed=1), None, "a row for each of the 10 queries .*, got 9.*query_ids"),
        (unit(10, 4, seed=0), unit(59, 4, seed=1), None, "a row for each of the 60 images .*, got 59.*gallery_ids"),
        (unit(10, 4, seed=0), unit(60, 5, seed=1), None, "have one embedding dimension, got 4 and 5"),
        (unit(10, 4, seed=0), unit(60, 4, seed=1), [unit(3, 5, seed=2)], "embedding dimension, got 4 and 5"),
        (unit(10, 4, seed=0), unit(60, 4, seed=1), [unit(3, 4, seed=2) / 0], "distractors must be finite"),
    ],
)
def test_what_does_not_belong_together_is_refused(make_truth, queries, gallery, distractors, message) -> None:
    with pytest.raises(ValueError, match=message):
        revisited_metrics(queries, gallery, make_truth(10, 60, 5, seed=11), distractors=distractors)
