"""GAP, GAP- and accuracy against a loop over the sorted queries, and the classifier of the nearest image."""

import math
import zlib

import numpy as np
import pytest
import torch

from hf_vitret.evaluation.landmarks.global_average_precision import met_metrics, recognition_metrics


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))


def gap(predictions: list, confidences: list, labels: list, *, has_distractors: bool) -> float:
    """Compute GAP by its definition, query by query; of equal confidences, wrong predictions come first."""
    queries = list(zip(predictions, confidences, labels, strict=True))
    if not has_distractors:
        queries = [query for query in queries if query[2] is not None]
    queries.sort(key=lambda query: (-query[1], query[0] == query[2]))
    total, num_right = 0.0, 0
    for rank, (predicted, _, label) in enumerate(queries, start=1):
        if label is not None and predicted == label:
            num_right += 1
            total += num_right / rank
    return total / sum(label is not None for label in labels)


@pytest.mark.parametrize("num_values", [5, 10_000])  # many equal confidences, or few
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_equals_the_definition(num_values: int, share: float, rng: np.random.Generator) -> None:
    labels = [None if draw < share else int(label) for draw, label in zip(rng.random(200), rng.integers(0, 5, 200))]
    predictions = rng.integers(0, 5, 200).tolist()
    confidences = (rng.integers(0, num_values, 200) / num_values).tolist()
    metrics = recognition_metrics(predictions, confidences, labels)
    known = [(a, b) for a, b in zip(predictions, labels, strict=True) if b is not None]
    assert metrics == pytest.approx(
        {
            "gap": gap(predictions, confidences, labels, has_distractors=True),
            "gap_without_distractors": gap(predictions, confidences, labels, has_distractors=False),
            "accuracy": sum(a == b for a, b in known) / len(known),
            "num_queries": 200,
            "num_distractors": 200 - len(known),
        },
        rel=0,
        abs=1e-12,
    )


def test_only_distractors() -> None:
    metrics = recognition_metrics([1, 2], [0.5, 0.4], [None, None])
    assert all(math.isnan(metrics[name]) for name in ("gap", "gap_without_distractors", "accuracy"))
    assert metrics["num_distractors"] == 2


def test_a_prediction_of_nothing_for_a_distractor_is_not_right() -> None:
    assert recognition_metrics([None, 3], [0.9, 0.8], [None, 3])["gap"] == 0.5


def test_embeddings_are_classified_by_the_nearest_image(rng: np.random.Generator) -> None:
    queries, gallery = (torch.tensor(rng.standard_normal((rows, 6)), dtype=torch.float32) for rows in (40, 90))
    exhibits = rng.integers(0, 8, 90).tolist()
    labels = [None if row % 3 == 0 else int(rng.integers(0, 10)) for row in range(40)]  # 8 and 9 are not in the gallery
    scores = queries.double() @ gallery.double().T
    predictions = [exhibits[int(row.argmax())] for row in scores]
    confidences = scores.max(dim=1).values.tolist()
    metrics = met_metrics(queries, labels, gallery, exhibits)
    assert metrics["gap"] == pytest.approx(gap(predictions, confidences, labels, has_distractors=True), abs=1e-12)
    assert metrics["gap_without_distractors"] == pytest.approx(
        gap(predictions, confidences, labels, has_distractors=False), abs=1e-12
    )
    assert metrics["num_queries_without_exhibit"] == sum(label in (8, 9) for label in labels) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1], [0.5, 0.4], [1, 2]), r"one entry for each query, got 1, shape \(2,\) and 2"),
        (([1, 2], [[0.5], [0.4]], [1, 2]), r"got 2, shape \(2, 1\) and 2"),
        (([1, 2], [0.5, math.nan], [1, 2]), "got nan for query 1"),
    ],
)
def test_wrong_predictions(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        recognition_metrics(*arguments)


def test_labels_that_are_not_those_of_the_embeddings() -> None:
    with pytest.raises(ValueError, match="query_labels must have one entry for each of the 2 query embeddings, got 1"):
        met_metrics(torch.ones(2, 3), [1], torch.ones(1, 3), [1])
    with pytest.raises(ValueError, match="gallery_labels must have one entry for each of the 1 gallery embeddings"):
        met_metrics(torch.ones(2, 3), [1, None], torch.ones(1, 3), [1, 2])
