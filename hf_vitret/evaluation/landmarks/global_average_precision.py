"""Global average precision (GAP) and accuracy of a recognition with distractors, as The Met data set measures them."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
import torch

from hf_vitret.search.neighbors import nearest_neighbors


def recognition_metrics(
    predictions: Sequence[Hashable], confidences: Sequence[float] | torch.Tensor, labels: Sequence[Hashable]
) -> dict[str, float | int]:
    """Compute GAP with and without distractors, and the accuracy, of one prediction for each query.

    All queries are sorted by the confidence of their prediction, and GAP is the sum of the precision of the first i
    queries over the ranks i whose prediction is right, divided by the number of queries that are no distractor. A
    distractor that is predicted with confidence lowers it. Of equal confidences, wrong predictions come first; the
    official program leaves their order to the sort.

    Args:
        predictions: `(num_queries,)`, the predicted class of each query.
        confidences: `(num_queries,)` float, how sure each prediction is; only their order matters.
        labels: `(num_queries,)`, the class of each query, of the same type as the predictions; `None` for a distractor.

    Returns:
        `gap` over all queries, `gap_without_distractors` (GAP- in the paper) and `accuracy` over those that are none;
        each in [0, 1], nan if all queries are distractors. Then `num_queries` and `num_distractors`.

    Raises:
        ValueError: The lengths differ, or a confidence is nan.

    Reference:
        Ypsilantis et al., "The Met Dataset", arXiv 2202.01747; Weyand et al., arXiv 2004.01804, for the recognition
        task of Google Landmarks v2, where an image may have several classes.

    Example:
        >>> metrics = recognition_metrics([7, 8, 7, 9], [0.9, 0.8, 0.7, 0.6], [7, None, 7, 8])
        >>> [round(metrics[name], 4) for name in ("gap", "gap_without_distractors", "accuracy")]
        [0.5556, 0.6667, 0.6667]
    """
    scores = np.asarray(confidences, dtype=np.float64)
    if scores.ndim != 1 or not len(scores) == len(predictions) == len(labels):
        raise ValueError(
            "predictions, confidences and labels must have one entry for each query, got "
            f"{len(predictions)}, shape {scores.shape} and {len(labels)}. Pass them in the order of the queries."
        )
    if np.isnan(scores).any():
        raise ValueError(
            f"confidences must be numbers, got nan for query {int(np.isnan(scores).argmax())}. Pass -inf for no "
            "confidence."
        )
    is_right = np.array([a == b for a, b in zip(predictions, labels, strict=True)], dtype=np.bool_)
    is_distractor = np.array([label is None for label in labels], dtype=np.bool_)
    is_right &= ~is_distractor
    num_known = int((~is_distractor).sum())
    return {
        "gap": _average_precision(is_right, scores, num_known),
        "gap_without_distractors": _average_precision(is_right[~is_distractor], scores[~is_distractor], num_known),
        "accuracy": int(is_right.sum()) / num_known if num_known else float("nan"),
        "num_queries": len(labels),
        "num_distractors": int(is_distractor.sum()),
    }


def met_metrics(
    query_embeddings: torch.Tensor,
    query_labels: Sequence[int | None],
    gallery_embeddings: torch.Tensor,
    gallery_labels: Sequence[int],
) -> dict[str, float | int]:
    """Compute GAP, GAP- and the accuracy of embeddings, by the class of the nearest image and its score.

    This is the classifier of the paper with one neighbour, whose confidence grows with the score of that neighbour. Its
    other settings (more neighbours, a temperature, whitening) are chosen on the validation queries and are not used
    here, so the published values of tuned classifiers may be higher. The search is exact, one tile of scores at a time.

    Args:
        query_embeddings: `(num_queries, dim)` float, the queries and the distractors.
        query_labels: `(num_queries,)`, the exhibit of each query, `None` for a distractor: the column `label` of
            `load_met_queries`.
        gallery_embeddings: `(num_gallery, dim)` float, on any device: all photographs of `load_met` with
            `test_fraction=0`.
        gallery_labels: `(num_gallery,)`, the exhibit of each photograph.

    Returns:
        `gap` over all queries, `gap_without_distractors` (GAP- in the paper) and `accuracy` over those that are none;
        each in [0, 1], nan if all queries are distractors. Then `num_queries`, `num_distractors`, and
        `num_queries_without_exhibit`, the number of queries whose exhibit is not in the gallery: they are never right.

    Raises:
        TypeError: Embeddings are not floats.
        ValueError: Shapes do not match, or an embedding is NaN or infinite.

    Reference:
        Ypsilantis et al., "The Met Dataset", arXiv 2202.01747, and `knn_classifier.py` of its program.

    Example:
        >>> gallery = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> met_metrics(torch.tensor([[0.8, 0.6], [0.6, 0.8]]), [34, None], gallery, [34, 35])["gap"]
        0.5
    """
    for name, rows, labels in (
        ("query", query_embeddings, query_labels),
        ("gallery", gallery_embeddings, gallery_labels),
    ):
        if len(rows) != len(labels):
            raise ValueError(
                f"{name}_labels must have one entry for each of the {len(rows):,} {name} embeddings, got "
                f"{len(labels):,}. Pass them in the order of the embeddings."
            )
    scores, nearest = nearest_neighbors(query_embeddings, gallery_embeddings, k=1)
    predictions = [gallery_labels[row] for row in nearest[:, 0].tolist()]
    exhibits = set(gallery_labels)
    missing = sum(label is not None and label not in exhibits for label in query_labels)
    metrics = recognition_metrics(predictions, scores[:, 0].cpu(), query_labels)
    return {**metrics, "num_queries_without_exhibit": missing}


def _average_precision(
    is_right: np.ndarray[tuple[int], np.dtype[np.bool_]],
    scores: np.ndarray[tuple[int], np.dtype[np.float64]],
    num_known: int,
) -> float:
    if not num_known:
        return float("nan")
    ranked = is_right[np.lexsort((is_right, -scores))]  # of equal scores, wrong ones first
    precisions = ranked.cumsum() / np.arange(1, len(ranked) + 1)
    return float(precisions[ranked].sum() / num_known)
