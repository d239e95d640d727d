"""mAP@100 of Google Landmarks v2 against a loop over the lists, for rankings and for embeddings."""

import math
import zlib

import numpy as np
import pytest
import torch

from hf_vitret.data.landmarks.gldv2_lists import Gldv2GroundTruth
from hf_vitret.evaluation.landmarks.gldv2_map import (
    gldv2_average_precisions,
    gldv2_average_precisions_of_rankings,
    gldv2_metrics,
    gldv2_metrics_of_rankings,
)
from hf_vitret.evaluation.revisited import scored_ranks


def average_precision(ranking: list[str], positives: set[str], k: int) -> float:
    """Return AP@k of one list by its definition, image by image."""
    seen, num_right, total = set(), 0, 0.0
    for rank in range(1, min(k, len(ranking)) + 1):
        image = ranking[rank - 1]
        if image in positives and image not in seen:
            num_right += 1
            total += num_right / rank
        seen.add(image)
    return total / min(len(positives), k)


def positives_of(truth: Gldv2GroundTruth) -> list[set[str]]:
    return [{truth.gallery_ids[row] for row in rows} for rows in truth.positives]


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


def draw_truth(rng: np.random.Generator, num_queries: int = 12, num_gallery: int = 300) -> Gldv2GroundTruth:
    """Draw queries of 1 to 200 positives, so that some have more than 100."""
    sizes = [1, 2, 100, 101, 200, *rng.integers(1, 40, num_queries - 5)]
    return Gldv2GroundTruth(
        tuple(f"query{row}" for row in range(num_queries)),
        tuple(f"image{row}" for row in range(num_gallery)),
        tuple(np.sort(rng.permutation(num_gallery)[:size]) for size in sizes),
        tuple(rng.choice(["Public", "Private"], num_queries).tolist()),
        ("ignored0", "ignored1"),
    )


@pytest.mark.parametrize("k", [1, 5, 100, 1000])
def test_rankings_of_any_length(k: int, rng: np.random.Generator) -> None:
    truth = draw_truth(rng)
    lengths = [0, 1, 99, 100, 101, *[300] * 7]
    rankings = {
        query: [f"image{row}" for row in rng.permutation(300)[:length]]
        for query, length in zip(truth.query_ids, lengths, strict=True)
    }
    expected = [average_precision(rankings[q], p, k) for q, p in zip(truth.query_ids, positives_of(truth), strict=True)]
    found = gldv2_average_precisions_of_rankings(rankings, truth, k=k)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)
    metrics = gldv2_metrics_of_rankings(rankings, truth, k=k)
    parts = {
        part: [value for value, usage in zip(expected, truth.usages, strict=True) if usage == part]
        for part in ("Public", "Private")
    }
    assert metrics == pytest.approx(
        {
            f"map_at_{k}": np.mean(expected),
            f"public_map_at_{k}": np.mean(parts["Public"]),
            f"private_map_at_{k}": np.mean(parts["Private"]),
            "num_queries": 12,
            "num_public_queries": len(parts["Public"]),
            "num_private_queries": len(parts["Private"]),
            "num_ignored_queries": 2,
            "num_queries_without_ranking": 0,
        },
        rel=0,
        abs=1e-12,
    )


def test_a_perfect_list_scores_1_and_an_image_again_is_wrong(rng: np.random.Generator) -> None:
    truth = draw_truth(rng)
    perfect = {query: sorted(positives) for query, positives in zip(truth.query_ids, positives_of(truth), strict=True)}
    assert gldv2_metrics_of_rankings(perfect, truth)["map_at_100"] == 1.0
    again = {query: [image for image in images for _ in range(2)] for query, images in perfect.items()}
    expected = [average_precision(again[q], p, 100) for q, p in zip(truth.query_ids, positives_of(truth), strict=True)]
    found = gldv2_average_precisions_of_rankings(again, truth)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)
    assert found[0] == 1.0
    assert (found[1:] < 1.0).all()


def test_a_query_without_a_list_scores_0_and_ignored_ones_are_not_looked_at(rng: np.random.Generator) -> None:
    truth = draw_truth(rng)
    perfect = {query: sorted(positives) for query, positives in zip(truth.query_ids, positives_of(truth), strict=True)}
    del perfect["query3"]
    metrics = gldv2_metrics_of_rankings({**perfect, "ignored1": ["anything"]}, truth)
    assert metrics["map_at_100"] == pytest.approx(11 / 12, abs=1e-12)
    assert (metrics["num_queries_without_ranking"], metrics["num_ignored_queries"]) == (1, 2)


def pessimistic_rankings(queries: torch.Tensor, gallery: torch.Tensor, truth: Gldv2GroundTruth) -> list[list[str]]:
    """Sort the index by exact scores, less the tolerance for positives; of equal ones, positives come last."""
    rankings = []
    for query, positives in zip(queries.double(), positives_of(truth), strict=True):
        keys = {}
        for name, row in zip(truth.gallery_ids, gallery.double(), strict=True):
            tolerance = 2e-6 * float(query.norm() * row.norm()) * (name in positives)
            keys[name] = (tolerance - float(query @ row), name in positives)
        rankings.append(sorted(keys, key=keys.__getitem__))
    return rankings


@pytest.mark.parametrize("k", [1, 5, 100])
@pytest.mark.parametrize("tile", [None, 8])
def test_embeddings(k: int, tile: int | None, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = draw_truth(rng)
    if tile is not None:  # a few index images in a block
        monkeypatch.setattr(scored_ranks, "check_tile_size", lambda *_: tile)
    queries, gallery = (torch.tensor(rng.standard_normal((rows, 8)), dtype=torch.float32) for rows in (12, 300))
    rankings = pessimistic_rankings(queries, gallery, truth)
    expected = [average_precision(r, p, k) for r, p in zip(rankings, positives_of(truth), strict=True)]
    found = gldv2_average_precisions(queries, gallery, truth, k=k)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)
    metrics = gldv2_metrics(queries, gallery, truth, k=k)
    assert metrics[f"map_at_{k}"] == pytest.approx(np.mean(expected), abs=1e-12)
    assert list(metrics)[3:] == ["num_queries", "num_public_queries", "num_private_queries", "num_ignored_queries"]


def test_a_model_that_maps_all_images_to_one_point_ranks_its_positives_last(rng: np.random.Generator) -> None:
    truth = draw_truth(rng)
    found = gldv2_average_precisions(torch.ones(12, 4), torch.ones(300, 4), truth, k=1000)
    for value, positives in zip(found.tolist(), positives_of(truth), strict=True):
        last = [image for image in truth.gallery_ids if image not in positives] + sorted(positives)
        assert value == pytest.approx(average_precision(last, positives, 1000), abs=1e-12)


def test_a_part_without_queries_is_nan() -> None:
    truth = Gldv2GroundTruth(("q",), ("a", "b"), (np.array([1]),), ("Private",), ())
    metrics = gldv2_metrics(torch.ones(1, 2), torch.tensor([[0.0, 1.0], [1.0, 1.0]]), truth)
    assert math.isnan(metrics["public_map_at_100"])
    assert (metrics["map_at_100"], metrics["private_map_at_100"], metrics["num_public_queries"]) == (1.0, 1.0, 0)


TRUTH = Gldv2GroundTruth(("q",), ("a", "b"), (np.array([1]),), ("Private",), ("i",))


@pytest.mark.parametrize(
    ("rankings", "k", "kind", "message"),
    [
        ({"other": ["a"]}, 100, ValueError, "must be of test images of the solution, got 'other'"),
        ({"q": ["a", "1/2/3/b.jpg"]}, 100, ValueError, "must hold ids of the index, got '1/2/3/b.jpg' for q"),
        ({"q": "a b"}, 100, TypeError, "must have a list of ids for each query, got 'a b' for q"),
        ({"q": ["a"]}, 0, ValueError, "k must be at least 1, got 0"),
    ],
)
def test_wrong_rankings(rankings: dict, k: int, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        gldv2_metrics_of_rankings(rankings, TRUTH, k=k)


@pytest.mark.parametrize(
    ("num_queries", "num_gallery", "k", "message"),
    [
        (1, 3, 100, "gallery_embeddings must have a row for each of the 2 images of the index, got 3"),
        (1, 1, 100, "gallery_embeddings must have a row for each of the 2 images of the index, got 1"),
        (2, 2, 100, "query_embeddings must have a row for each of the 1 queries"),
        (1, 2, 0, "k must be at least 1, got 0"),
    ],
)
def test_wrong_embeddings(num_queries: int, num_gallery: int, k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gldv2_metrics(torch.ones(num_queries, 2), torch.ones(num_gallery, 2), TRUTH, k=k)
