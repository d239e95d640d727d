"""Metrics of the revisited benchmarks after query expansion, database augmentation, re-ranking or diffusion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from hf_vitret.evaluation.metrics.ranked_lists import NO_ITEM
from hf_vitret.evaluation.post_processing import POST_PROCESSINGS
from hf_vitret.evaluation.revisited.metrics import (
    DEFAULT_KS,
    revisited_query_metrics,
    revisited_query_metrics_of_ranking,
)
from hf_vitret.search.neighbors import nearest_neighbors
from hf_vitret.search.reranking.diffusion import Diffusion
from hf_vitret.search.reranking.query_expansion import augment_database, expand_queries
from hf_vitret.search.reranking.reciprocal_reranking import rerank_reciprocal

if TYPE_CHECKING:
    from hf_vitret.data.landmarks.revisited_ground_truth import RevisitedGroundTruth


def post_processed_query_metrics(
    query_embeddings: torch.Tensor,
    gallery_embeddings: torch.Tensor,
    ground_truth: RevisitedGroundTruth,
    method: str,
    *,
    num_neighbors: int | None = None,
    list_length: int | None = None,
    ks: Sequence[int] = DEFAULT_KS,
) -> dict[str, torch.Tensor]:
    """Compute the metrics of each query after query expansion, database augmentation, re-ranking or diffusion.

    Expanded queries and an augmented gallery are scored like embeddings. Re-ranking and diffusion return lists, whose
    order is taken as given. An image that is not in the list of a query, or that the diffusion does not reach, counts
    as not found.

    Args:
        query_embeddings: `(num_queries, dim)` float, unit norm, in the order of `ground_truth.query_ids`.
        gallery_embeddings: `(num_rows, dim)` float, unit norm, in the order of `ground_truth.gallery_ids`. Any rows
            beyond those are distractors.
        ground_truth: The easy, hard and junk images of each query.
        method: Name of the step, one of `POST_PROCESSINGS`, which also has its settings, from the papers that its
            function cites.
        num_neighbors: Number of neighbours that are averaged, k1 of `rerank_reciprocal`, or edges of an item in the
            graph of `Diffusion`. `None` takes the number of the paper.
        list_length: Number of items of a list. `None` takes the whole gallery; re-ranking lists of a few thousand
            images costs little.
        ks: The cut-offs k of mP@k, each at least 1.

    Returns:
        For each `{level}_map` and `{level}_precision_at_{k}`, `(num_queries,)` float64 on the CPU; nan for a query
        without a positive at this level.

    Raises:
        TypeError: Embeddings are not floats.
        ValueError: The method is unknown, the number of neighbours or a k is below 1, shapes do not match each other or
            the ground truth, an embedding is NaN or infinite, or lists are too short for the method.
    """
    if method not in POST_PROCESSINGS:
        raise ValueError(f"method must be one of {', '.join(POST_PROCESSINGS)}; got {method!r}. Choose one of these.")
    if num_neighbors is not None and num_neighbors < 1:
        raise ValueError(
            f"num_neighbors must be at least 1; got {num_neighbors}. Pass None for the number of the paper."
        )
    queries, gallery = query_embeddings, gallery_embeddings
    settings = dict(POST_PROCESSINGS[method])
    default = int(settings.pop("num_neighbors"))
    near = min(default if num_neighbors is None else num_neighbors, len(gallery))
    if method == "query_expansion":
        queries = expand_queries(queries, gallery, *nearest_neighbors(queries, gallery, near), **settings)
        return revisited_query_metrics(queries, gallery, ground_truth, ks=ks)
    rows = torch.arange(len(gallery))
    graph = nearest_neighbors(gallery, gallery, near, query_ids=rows, gallery_ids=rows)
    if method == "database_augmentation":
        return revisited_query_metrics(queries, augment_database(gallery, *graph, **settings), ground_truth, ks=ks)
    length = len(gallery) if list_length is None else min(list_length, len(gallery))
    if method == "reciprocal":
        settings["k2"] = min(int(settings["k2"]), near)
        lists = nearest_neighbors(queries, gallery, length)
        ranking = rerank_reciprocal(queries, gallery, *lists, *graph, k1=near, **settings)[1]
    else:
        diffusion = Diffusion(gallery, *graph, **settings)
        scores, ranking = diffusion.rank(queries, *nearest_neighbors(queries, gallery, near), length)
        ranking = ranking.masked_fill(scores <= 0, NO_ITEM)  # a score of 0: not reached
    return revisited_query_metrics_of_ranking(ranking, ground_truth, ks=ks)
