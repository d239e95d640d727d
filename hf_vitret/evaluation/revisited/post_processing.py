"""The metrics of a revisited data set after a step that follows embedding: other vectors, or lists in another order."""

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
    """Compute the metrics of each query after query expansion, augmentation, re-ranking or diffusion.

    Expanded queries and an augmented gallery are scored as embeddings are. Re-ranking and diffusion give lists, whose
    order is taken as it stands: what is not in a query's list, or not reached by the walk, was not found.

    Args:
        query_embeddings: As for `revisited_metrics`, of unit norm.
        gallery_embeddings: As there, distractors among them.
        ground_truth: As there.
        method: One of `POST_PROCESSINGS`, by the settings of the papers that its function names.
        num_neighbors: Neighbours that are averaged, k1 of `rerank_reciprocal`, or edges of an item in the graph of
            `Diffusion`. None: the paper's.
        list_length: Items of a list. None: all of the gallery, which is what re-ranking lists of a few thousand images
            costs little for.
        ks: As for `revisited_metrics`.

    Returns:
        As `revisited_query_metrics`.

    Raises:
        ValueError: The method is not known, num_neighbors is below 1, or as for `revisited_metrics` and the method's
            function.
    """
    if method not in POST_PROCESSINGS:
        raise ValueError(f"method must be one of {', '.join(POST_PROCESSINGS)}; got {method!r}.")
    if num_neighbors is not None and num_neighbors < 1:
        raise ValueError(f"num_neighbors must be at least 1; got {num_neighbors}. None takes the paper's.")
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
        walk = Diffusion(gallery, *graph, **settings)
        scores, ranking = walk.rank(queries, *nearest_neighbors(queries, gallery, near), length)
        ranking = ranking.masked_fill(scores <= 0, NO_ITEM)  # 0: the walk has not reached it
    return revisited_query_metrics_of_ranking(ranking, ground_truth, ks=ks)
