"""mAP and mP@k of the revisited benchmarks, at the levels easy, medium and hard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED
from hf_vitret.evaluation.revisited.average_precision import shrinking_precision_at_k, trapezoidal_average_precision
from hf_vitret.evaluation.revisited.labelled_images import KINDS, LEVELS, Integers, LabelledImages
from hf_vitret.evaluation.revisited.ranks import Ranking, num_ahead_in_ranking
from hf_vitret.evaluation.revisited.scored_ranks import num_ahead_by_score

if TYPE_CHECKING:
    from hf_vitret.data.landmarks.revisited_ground_truth import RevisitedGroundTruth

DEFAULT_KS = (1, 5, 10)


def revisited_metrics(
    query_embeddings: torch.Tensor,
    gallery_embeddings: torch.Tensor,
    ground_truth: RevisitedGroundTruth,
    *,
    distractors: Iterable[torch.Tensor] | None = None,
    ks: Sequence[int] = DEFAULT_KS,
) -> dict[str, float | int]:
    """Compute mAP and mP@k of embeddings at each level, exactly, without sorting the gallery.

    Scores are inner products of the rows as given, on the device of the queries; a million distractors pass by a
    chunk at a time. An image without a label that scores as high as one to be found, or within 2e-6 of it (times the
    norms of both), ranks ahead of it, so that a model that maps all images to one vector does not profit from the order
    of the gallery. The authors' `numpy.argsort` leaves open how ties come out.

    Args:
        query_embeddings: `(num_queries, dim)` float, in the order of `ground_truth.query_ids`.
        gallery_embeddings: `(num_gallery or more, dim)` float, in the order of `ground_truth.gallery_ids`; what comes
            after these is distractors.
        ground_truth: What is easy, hard and junk.
        distractors: `(any, dim)` float each: embeddings of further images without a label, read once.
        ks: Cut-offs of mP@k, each at least 1.

    Returns:
        For `easy`, `medium` and `hard`: `{level}_map`; `{level}_precision_at_{k}`; `num_{level}_queries`, which
        were counted; and `num_{level}_queries_without_positive`, which were left out.

    Raises:
        TypeError: Embeddings are not floats.
        ValueError: Shapes do not match, an embedding is not finite, or a k is below 1.

    Reference:
        Radenovic et al., "Revisiting Oxford and Paris", arXiv 1803.11285, section 5, and its `compute_map`.

    Example:
        >>> from hf_vitret.data.landmarks.revisited_ground_truth import RevisitedGroundTruth
        >>> truth = RevisitedGroundTruth(["q"], ["a", "b", "c", "d"], [(0, 0, 9, 9)], [[1]], [[3]], [[0]])
        >>> gallery = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])
        >>> metrics = revisited_metrics(torch.tensor([[1.0, 0.0]]), gallery, truth, ks=[1])
        >>> metrics["easy_map"], round(metrics["medium_map"], 4), metrics["hard_map"], metrics["hard_precision_at_1"]
        (1.0, 0.7917, 0.25, 0.0)
    """
    return means_of(
        revisited_query_metrics(query_embeddings, gallery_embeddings, ground_truth, distractors=distractors, ks=ks)
    )


def revisited_query_metrics(
    query_embeddings: torch.Tensor,
    gallery_embeddings: torch.Tensor,
    ground_truth: RevisitedGroundTruth,
    *,
    distractors: Iterable[torch.Tensor] | None = None,
    ks: Sequence[int] = DEFAULT_KS,
) -> dict[str, torch.Tensor]:
    """Compute the metrics of each query from embeddings; arguments and errors are those of `revisited_metrics`.

    Returns:
        For `{level}_map` and `{level}_precision_at_{k}` `(num_queries,)` float64 on the CPU: what `bootstrap_interval`
        and `compare` take; nan where a query has nothing to find at this level.
    """
    _check_ks(ks)
    labelled = LabelledImages.of(ground_truth)
    num_ahead = num_ahead_by_score(query_embeddings, gallery_embeddings, labelled, distractors=distractors)
    return values_of(labelled, num_ahead, ks)


def revisited_metrics_of_ranking(
    ranking: Ranking, ground_truth: RevisitedGroundTruth, *, query_axis: int = 0, ks: Sequence[int] = DEFAULT_KS
) -> dict[str, float | int]:
    """Compute mAP and mP@k of rankings at each level, the order of each taken as it stands.

    With whole rankings the result is that of the authors' `compute_map`. An image to be found that is not in its list
    counts as never found.

    Args:
        ranking: `(num_queries, length)` integers, array (also memory-mapped) or tensor: gallery rows, best first. Rows
            beyond the ground truth's gallery are distractors; -1 fills the end of a list that is shorter.
        ground_truth: What is easy, hard and junk.
        query_axis: 1 where the ranking is `(length, num_queries)`, as the authors' is (`argsort` along the first axis).
        ks: As for `revisited_metrics`.

    Returns:
        As `revisited_metrics`.

    Raises:
        TypeError: The ranking is not of integers.
        ValueError: It has another shape, it holds a labelled image twice in a list, or a k is below 1.

    Example:
        >>> from hf_vitret.data.landmarks.revisited_ground_truth import RevisitedGroundTruth
        >>> truth = RevisitedGroundTruth(["q"], ["a", "b", "c", "d"], [(0, 0, 9, 9)], [[1]], [[3]], [[0]])
        >>> round(revisited_metrics_of_ranking(np.array([[0, 1, 2, 3]]), truth)["medium_map"], 4)
        0.7917
    """
    return means_of(revisited_query_metrics_of_ranking(ranking, ground_truth, query_axis=query_axis, ks=ks))


def revisited_query_metrics_of_ranking(
    ranking: Ranking, ground_truth: RevisitedGroundTruth, *, query_axis: int = 0, ks: Sequence[int] = DEFAULT_KS
) -> dict[str, torch.Tensor]:
    """Compute the metrics of each query from rankings; with the arguments of `revisited_metrics_of_ranking`.

    Returns:
        As `revisited_query_metrics`.
    """
    _check_ks(ks)
    labelled = LabelledImages.of(ground_truth)
    return values_of(labelled, num_ahead_in_ranking(ranking, labelled, query_axis=query_axis), ks)


def values_of(labelled: LabelledImages, num_ahead: Integers, ks: Sequence[int]) -> dict[str, torch.Tensor]:
    """Compute the metrics of each query from what ranks ahead of its images.

    Args:
        labelled: The images.
        num_ahead: `(num_labelled,)` int64 images without a label ahead of each; `UNRESOLVED` for one not found.
        ks: As for `revisited_metrics`.

    Returns:
        As `revisited_query_metrics`.
    """
    values: dict[str, torch.Tensor] = {}
    bounds = np.searchsorted(labelled.queries, np.arange(labelled.num_queries + 1))
    for level, kinds in LEVELS.items():
        to_find = np.isin(labelled.kinds, [KINDS.index(kind) for kind in kinds])
        names = [f"{level}_map", *(f"{level}_precision_at_{k}" for k in ks)]
        table = np.full((len(names), labelled.num_queries), np.nan)
        for query, (start, stop) in enumerate(pairwise(bounds)):
            ahead = np.sort(num_ahead[start:stop][to_find[start:stop]])
            if not len(ahead):
                continue
            found = ahead[ahead < UNRESOLVED]
            ranks = found + np.arange(len(found))  # those to be found that stand before it
            precisions = [shrinking_precision_at_k(ranks, len(ahead), k) for k in ks]
            table[:, query] = [trapezoidal_average_precision(ranks, len(ahead)), *precisions]
        values |= dict(zip(names, torch.from_numpy(table)))
    return values


def means_of(values: dict[str, torch.Tensor]) -> dict[str, float | int]:
    """Average `revisited_query_metrics` over the queries that have something to find, and count the others."""
    metrics: dict[str, float | int] = {name: float(scores.nanmean()) for name, scores in values.items()}
    for level in LEVELS:
        is_missing = values[f"{level}_map"].isnan()
        metrics[f"num_{level}_queries"] = int((~is_missing).sum())
        metrics[f"num_{level}_queries_without_positive"] = int(is_missing.sum())
    return metrics


def _check_ks(ks: Sequence[int]) -> None:
    if any(k < 1 for k in ks):
        raise ValueError(f"ks must be at least 1 each, got {', '.join(map(str, ks))}.")
