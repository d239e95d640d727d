"""mAP and mP@k of the revisited benchmarks at the levels easy, medium and hard, from embeddings or from rankings."""

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
from hf_vitret.evaluation.shared_docs import same_arguments

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
    """Compute mAP and mP@k of embeddings at the levels easy, medium and hard, exactly and without sorting the gallery.

    At level easy the easy images of a query are its positives, at level hard the hard images, and at level medium both.
    Its other labelled images (junk, and those of the other level) are removed from its ranking. All images without a
    label are negatives. AP is the area under precision over recall by trapezoids. P@k divides by k, or by the rank of
    the last positive if that is smaller.

    Scores are inner products of the rows as given, on the device of the queries. Distractors are scored a chunk at a
    time, so that a million of them need not be in memory. A negative that scores as high as a positive, or within 2e-6
    of it (times the norms of both), ranks ahead of it; a model that maps all images to one vector therefore gains
    nothing from the order of the gallery. The authors' code sorts with `numpy.argsort`, which leaves the order of ties
    undefined.

    Args:
        query_embeddings: `(num_queries, dim)` float, the embeddings of the queries, in the order of
            `ground_truth.query_ids`.
        gallery_embeddings: `(num_rows, dim)` float, the embeddings of the gallery, in the order of
            `ground_truth.gallery_ids`. Any rows beyond those are distractors.
        ground_truth: The easy, hard and junk images of each query.
        distractors: Chunks of `(num_rows, dim)` float, embeddings of further images without a label; the iterable is
            read once. `None`: no further images.
        ks: The cut-offs k of mP@k, each at least 1.

    Returns:
        For each `{level}` of `easy`, `medium` and `hard`: `{level}_map` and `{level}_precision_at_{k}` for each k, the
        means over the queries with a positive at this level, in [0, 1], or nan if there is none; `num_{level}_queries`,
        the number of these queries; and `num_{level}_queries_without_positive`, the number of queries that are left
        out.

    Raises:
        TypeError: Embeddings are not floats.
        ValueError: Shapes do not match each other or the ground truth, an embedding is NaN or infinite, or a k is below
            1.

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


@same_arguments(revisited_metrics)
def revisited_query_metrics(
    query_embeddings: torch.Tensor,
    gallery_embeddings: torch.Tensor,
    ground_truth: RevisitedGroundTruth,
    *,
    distractors: Iterable[torch.Tensor] | None = None,
    ks: Sequence[int] = DEFAULT_KS,
) -> dict[str, torch.Tensor]:
    """Compute AP and P@k of each query at each level from embeddings, whose means `revisited_metrics` returns.

    Returns:
        For each `{level}_map` and `{level}_precision_at_{k}`, `(num_queries,)` float64 on the CPU, as
        `bootstrap_interval` and `compare` take it; nan for a query without a positive at this level.
    """
    _check_ks(ks)
    labelled = LabelledImages.of(ground_truth)
    num_ahead = num_ahead_by_score(query_embeddings, gallery_embeddings, labelled, distractors=distractors)
    return values_of(labelled, num_ahead, ks)


def revisited_metrics_of_ranking(
    ranking: Ranking, ground_truth: RevisitedGroundTruth, *, query_axis: int = 0, ks: Sequence[int] = DEFAULT_KS
) -> dict[str, float | int]:
    """Compute mAP and mP@k of rankings at the levels easy, medium and hard; the order of a ranking is taken as given.

    At level easy the easy images of a query are its positives, at level hard the hard images, and at level medium both.
    Its other labelled images (junk, and those of the other level) are removed from its ranking. AP is the area under
    precision over recall by trapezoids. P@k divides by k, or by the rank of the last positive if that is smaller. For
    complete rankings the result equals that of the authors' `compute_map`. A positive that is not in its list counts as
    not found.

    Args:
        ranking: `(num_queries, length)` integers, an array (also memory-mapped) or a tensor: gallery rows, best first.
            Rows beyond the gallery of the ground truth are distractors; -1 fills the end of a shorter list.
        ground_truth: The easy, hard and junk images of each query.
        query_axis: 0 for a ranking of shape `(num_queries, length)`; 1 for `(length, num_queries)`, as in the authors'
            code (`argsort` along the first axis).
        ks: The cut-offs k of mP@k, each at least 1.

    Returns:
        For each `{level}` of `easy`, `medium` and `hard`: `{level}_map` and `{level}_precision_at_{k}` for each k, the
        means over the queries with a positive at this level, in [0, 1], or nan if there is none; `num_{level}_queries`,
        the number of these queries; and `num_{level}_queries_without_positive`, the number of queries that are left
        out.

    Raises:
        TypeError: The ranking is not an array or tensor of integers.
        ValueError: The ranking does not have the shape of `query_axis`, a list has a labelled image twice, or a k is
            below 1.

    Reference:
        Radenovic et al., "Revisiting Oxford and Paris", arXiv 1803.11285, section 5, and its `compute_map`.

    Example:
        >>> from hf_vitret.data.landmarks.revisited_ground_truth import RevisitedGroundTruth
        >>> truth = RevisitedGroundTruth(["q"], ["a", "b", "c", "d"], [(0, 0, 9, 9)], [[1]], [[3]], [[0]])
        >>> round(revisited_metrics_of_ranking(np.array([[0, 1, 2, 3]]), truth)["medium_map"], 4)
        0.7917
    """
    return means_of(revisited_query_metrics_of_ranking(ranking, ground_truth, query_axis=query_axis, ks=ks))


@same_arguments(revisited_metrics_of_ranking)
def revisited_query_metrics_of_ranking(
    ranking: Ranking, ground_truth: RevisitedGroundTruth, *, query_axis: int = 0, ks: Sequence[int] = DEFAULT_KS
) -> dict[str, torch.Tensor]:
    """Compute AP and P@k of each query at each level from rankings, whose means `revisited_metrics_of_ranking` returns.

    Returns:
        For each `{level}_map` and `{level}_precision_at_{k}`, `(num_queries,)` float64 on the CPU; nan for a query
        without a positive at this level.
    """
    _check_ks(ks)
    labelled = LabelledImages.of(ground_truth)
    return values_of(labelled, num_ahead_in_ranking(ranking, labelled, query_axis=query_axis), ks)


def values_of(labelled: LabelledImages, num_ahead: Integers, ks: Sequence[int]) -> dict[str, torch.Tensor]:
    """Compute the metrics of each query from the number of negatives ahead of each labelled image.

    Args:
        labelled: The labelled images.
        num_ahead: `(num_labelled,)` int64, the number of images without a label ahead of each; `UNRESOLVED` if it was
            not found.
        ks: The cut-offs k of P@k, each at least 1.

    Returns:
        For each `{level}_map` and `{level}_precision_at_{k}`, `(num_queries,)` float64 on the CPU; nan for a query
        without a positive at this level.
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
            ranks = found + np.arange(len(found))  # plus the number of positives ahead
            precisions = [shrinking_precision_at_k(ranks, len(ahead), k) for k in ks]
            table[:, query] = [trapezoidal_average_precision(ranks, len(ahead)), *precisions]
        values |= dict(zip(names, torch.from_numpy(table)))
    return values


def means_of(values: dict[str, torch.Tensor]) -> dict[str, float | int]:
    """Average the metrics over the queries with a positive at the level, and count these queries and the others.

    Args:
        values: What `revisited_query_metrics` returned.

    Returns:
        The means and counts by name, as `revisited_metrics` returns them.
    """
    metrics: dict[str, float | int] = {name: float(scores.nanmean()) for name, scores in values.items()}
    for level in LEVELS:
        is_missing = values[f"{level}_map"].isnan()
        metrics[f"num_{level}_queries"] = int((~is_missing).sum())
        metrics[f"num_{level}_queries_without_positive"] = int(is_missing.sum())
    return metrics


def _check_ks(ks: Sequence[int]) -> None:
    if any(k < 1 for k in ks):
        raise ValueError(
            f"ks must be at least 1 each, got {', '.join(map(str, ks))}. Pass 1 for the nearest image alone."
        )
