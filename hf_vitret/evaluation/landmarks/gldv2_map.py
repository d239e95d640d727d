"""mAP@100 of the retrieval task of Google Landmarks v2, from embeddings or from the rankings of any search engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from hf_vitret.evaluation.metrics.rank_metrics import map_at_k
from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED
from hf_vitret.evaluation.revisited.labelled_images import KINDS, LabelledImages
from hf_vitret.evaluation.revisited.scored_ranks import num_ahead_by_score
from hf_vitret.search.entry_positions import positions_in_rows

if TYPE_CHECKING:
    from hf_vitret.data.landmarks.gldv2_lists import Gldv2GroundTruth

DEFAULT_K = 100
PARTS = ("Public", "Private")


def gldv2_metrics(
    query_embeddings: torch.Tensor,
    gallery_embeddings: torch.Tensor,
    ground_truth: Gldv2GroundTruth,
    *,
    k: int = DEFAULT_K,
) -> dict[str, float | int]:
    """Compute mAP@100 of embeddings as the official program does, by exact search, one block of the index at a time.

    AP@k of a query with m positives is the sum, over the ranks i <= k that hold a positive, of the precision of the
    first i images, divided by min(m, k). mAP@k is its mean over the queries that are not ignored.

    Scores are inner products of the rows as given, on the device of the queries. An image that scores as high as a
    positive and is none, or within 2e-6 of it (times the norms of both), ranks ahead of it; the official program takes
    the order of its lists as given.

    Args:
        query_embeddings: `(num_queries, dim)` float, in the order of `ground_truth.query_ids`.
        gallery_embeddings: `(num_gallery, dim)` float, in the order of `ground_truth.gallery_ids`, on any device.
        ground_truth: The positives of each query.
        k: The cut-off, at least 1; 100 in the official metric.

    Returns:
        `map_at_{k}` over all queries that count; `public_map_at_{k}` and `private_map_at_{k}` over those of each part
        of the test set, which is how results are published, nan if there is none; each in [0, 1]. Then `num_queries`,
        `num_public_queries`, `num_private_queries`, and `num_ignored_queries`, the number of test images left out.

    Raises:
        TypeError: Embeddings are not floats.
        ValueError: Shapes do not match each other or the ground truth, an embedding is NaN or infinite, or k is below
            1.

    Reference:
        Weyand et al., "Google Landmarks Dataset v2", arXiv 2004.01804, and `MeanAveragePrecision` of its
        official program (`delf`, `google_landmarks_dataset/metrics.py`).

    Example:
        >>> from hf_vitret.data.landmarks.gldv2_lists import Gldv2GroundTruth
        >>> truth = Gldv2GroundTruth(("q",), ("a", "b", "c"), (np.array([0, 2]),), ("Private",), ("x", "y"))
        >>> gallery = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
        >>> metrics = gldv2_metrics(torch.tensor([[1.0, 0.0]]), gallery, truth)  # (1/1 + 2/3) / 2
        >>> round(metrics["private_map_at_100"], 4), metrics["num_ignored_queries"]
        (0.8333, 2)
    """
    return _means(gldv2_average_precisions(query_embeddings, gallery_embeddings, ground_truth, k=k), ground_truth, k)


def gldv2_average_precisions(
    query_embeddings: torch.Tensor,
    gallery_embeddings: torch.Tensor,
    ground_truth: Gldv2GroundTruth,
    *,
    k: int = DEFAULT_K,
) -> torch.Tensor:
    """Compute AP@k of each query from embeddings, whose mean `gldv2_metrics` returns.

    Args:
        query_embeddings: `(num_queries, dim)` float, in the order of `ground_truth.query_ids`.
        gallery_embeddings: `(num_gallery, dim)` float, in the order of `ground_truth.gallery_ids`, on any device.
        ground_truth: The positives of each query.
        k: The cut-off, at least 1.

    Returns:
        `(num_queries,)` float64 in [0, 1] on the CPU.

    Raises:
        TypeError: Embeddings are not floats.
        ValueError: Shapes do not match each other or the ground truth, an embedding is NaN or infinite, or k is below
            1.
    """
    _check_k(k)
    lengths = np.array([len(rows) for rows in ground_truth.positives], dtype=np.int64)
    num_queries, num_gallery = len(lengths), len(ground_truth.gallery_ids)
    if len(gallery_embeddings) != num_gallery:
        raise ValueError(
            f"gallery_embeddings must have a row for each of the {num_gallery:,} images of the index, got "
            f"{len(gallery_embeddings):,}. Embed them in the order of gallery_ids."
        )
    queries = np.arange(num_queries).repeat(lengths)
    rows = np.concatenate(ground_truth.positives)
    kinds = np.full(len(rows), KINDS.index("easy"))  # a positive
    labelled = LabelledImages(queries, rows, kinds, num_queries, num_gallery)
    ahead = num_ahead_by_score(query_embeddings, gallery_embeddings, labelled)
    ahead = ahead[np.lexsort((ahead, queries))]  # ascending for each query: `queries` is sorted
    counts = torch.from_numpy(lengths)
    ranks = torch.from_numpy(ahead) + positions_in_rows(torch.from_numpy(queries), counts)  # plus the positives ahead
    return _average_precisions(ranks, counts, counts, k)


def gldv2_metrics_of_rankings(
    rankings: Mapping[str, Sequence[str]], ground_truth: Gldv2GroundTruth, *, k: int = DEFAULT_K
) -> dict[str, float | int]:
    """Compute mAP@100 of ranked lists of image ids as the official program does; the order of a list is as given.

    AP@k of a query with m positives is the sum, over the ranks i <= k that hold a positive, of the precision of the
    first i images, divided by min(m, k). An image that is in a list again takes a rank and counts as wrong, as in the
    official program. A query without a list scores 0. Lists of ignored queries are not looked at.

    Args:
        rankings: Id of a test image to the ids of index images, best first. Only the first k are looked at.
        ground_truth: The positives of each query.
        k: The cut-off, at least 1; 100 in the official metric.

    Returns:
        `map_at_{k}` over all queries that count; `public_map_at_{k}` and `private_map_at_{k}` over those of each part
        of the test set, nan if there is none; each in [0, 1]. Then `num_queries`, `num_public_queries`,
        `num_private_queries`, `num_ignored_queries`, and `num_queries_without_ranking`, which score 0.

    Raises:
        TypeError: A list is one string.
        ValueError: A list belongs to no test image, holds an id that is not in the index, or k is below 1.

    Reference:
        Weyand et al., "Google Landmarks Dataset v2", arXiv 2004.01804, and `MeanAveragePrecision` of its
        official program (`delf`, `google_landmarks_dataset/metrics.py`).

    Example:
        >>> from hf_vitret.data.landmarks.gldv2_lists import Gldv2GroundTruth
        >>> truth = Gldv2GroundTruth(("q",), ("a", "b", "c"), (np.array([0, 2]),), ("Private",), ("x", "y"))
        >>> round(gldv2_metrics_of_rankings({"q": ["b", "c", "a"]}, truth)["map_at_100"], 4)  # (1/2 + 2/3) / 2
        0.5833
    """
    values = gldv2_average_precisions_of_rankings(rankings, ground_truth, k=k)
    missing = sum(query not in rankings for query in ground_truth.query_ids)
    return {**_means(values, ground_truth, k), "num_queries_without_ranking": missing}


def gldv2_average_precisions_of_rankings(
    rankings: Mapping[str, Sequence[str]], ground_truth: Gldv2GroundTruth, *, k: int = DEFAULT_K
) -> torch.Tensor:
    """Compute AP@k of each query from ranked lists, whose mean `gldv2_metrics_of_rankings` returns.

    Args:
        rankings: Id of a test image to the ids of index images, best first. Only the first k are looked at.
        ground_truth: The positives of each query.
        k: The cut-off, at least 1.

    Returns:
        `(num_queries,)` float64 in [0, 1] on the CPU, in the order of `ground_truth.query_ids`.

    Raises:
        TypeError: A list is one string.
        ValueError: A list belongs to no test image, holds an id that is not in the index, or k is below 1.
    """
    _check_k(k)
    known = {*ground_truth.query_ids, *ground_truth.ignored_ids}
    unknown = next((query for query in rankings if query not in known), None)
    if unknown is not None:
        raise ValueError(
            f"rankings must be of test images of the solution, got {unknown!r}. Use ids without a folder and suffix."
        )
    index = {image: row for row, image in enumerate(ground_truth.gallery_ids)}
    found: list[int] = []
    num_found = []
    for query, positives in zip(ground_truth.query_ids, ground_truth.positives, strict=True):
        ranking = rankings.get(query, ())
        if isinstance(ranking, (str, bytes)):
            raise TypeError(f"rankings must have a list of ids for each query, got {ranking!r} for {query}. Split it.")
        to_find, before = set(positives.tolist()), len(found)
        for rank, image in enumerate(ranking[:k]):
            if image not in index:
                raise ValueError(
                    f"rankings must hold ids of the index, got {image!r} for {query}. Use ids without a folder and "
                    "suffix."
                )
            if index[image] in to_find:
                to_find.remove(index[image])  # the image again is wrong
                found.append(rank)
        num_found.append(len(found) - before)
    num_positives = torch.tensor([len(rows) for rows in ground_truth.positives])
    return _average_precisions(torch.tensor(found, dtype=torch.int64), torch.tensor(num_found), num_positives, k)


def _average_precisions(
    found: torch.Tensor, num_found: torch.Tensor, num_positives: torch.Tensor, k: int
) -> torch.Tensor:
    """Compute AP@k of each query.

    Args:
        found: `(num_all,)` int64, the ranks of the positives that are in the lists, of one query after another,
            ascending for each.
        num_found: `(num_queries,)` int64, how many entries of `found` are of each query.
        num_positives: `(num_queries,)` int64, at least 1.
        k: The cut-off.
    """
    queries = torch.arange(len(num_found)).repeat_interleave(num_found)
    ranks = torch.full((len(num_found), max(1, int(num_found.max()))), UNRESOLVED)
    ranks[queries, positions_in_rows(queries, num_found)] = found
    return map_at_k(ranks, num_positives, k)


def _means(values: torch.Tensor, ground_truth: Gldv2GroundTruth, k: int) -> dict[str, float | int]:
    """Return the means and the counts by name, as `gldv2_metrics` returns them."""
    usages = np.array(ground_truth.usages)
    parts = {part: values[torch.from_numpy(usages == part)] for part in PARTS}
    metrics: dict[str, float | int] = {f"map_at_{k}": float(values.mean())}
    metrics |= {f"{part.lower()}_map_at_{k}": float(some.mean()) for part, some in parts.items()}
    metrics["num_queries"] = len(values)
    metrics |= {f"num_{part.lower()}_queries": len(some) for part, some in parts.items()}
    metrics["num_ignored_queries"] = len(ground_truth.ignored_ids)
    return metrics


def _check_k(k: int) -> None:
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}. Pass 100 for the official metric.")
