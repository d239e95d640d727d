"""Searches of an index in two steps: query expansion, and re-ranking by k-reciprocal neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..search.neighbors import nearest_neighbors
from ..search.reranking.query_expansion import expand_queries
from ..search.reranking.reciprocal_reranking import rerank_reciprocal
from .backends.array_inputs import as_matrix
from .search_defaults import ALPHA, K1, K2, NUM_CANDIDATES, NUM_EXPANDING, WEIGHT

if TYPE_CHECKING:
    from .image_index import ImageIndex


def expanded_search(
    index: ImageIndex,
    queries: torch.Tensor | np.ndarray,
    k: int = 10,
    *,
    num_neighbors: int = NUM_EXPANDING,
    alpha: float = ALPHA,
    **settings: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Search, add to each query the images that were found, weighted by their scores, and search again.

    Args:
        index: The index to search.
        queries: `(num_queries, dim)` float, unit norm.
        k: Number of images to find, at least 1.
        num_neighbors: Number of images that are added to a query. The paper's 50 suit landmarks, of which there are as
            many images; if a class has fewer images, add fewer.
        alpha: Power of the score by which an added image is weighted, at least 0. 0 gives all of them the same weight.
        **settings: `model` and `where` of `ImageIndex.search`, for both searches.

    Returns:
        scores: `(num_queries, k)` float32 inner products with the expanded queries, descending. Thresholds that were
            measured for plain searches do not apply to them.
        positions: `(num_queries, k)` int64. If there are fewer than k images, the other scores are -inf, and their
            positions are -1.

    Raises:
        ValueError: k or `num_neighbors` is below 1, alpha is negative, a query is not finite or has another dimension,
            or a setting does not fit the index.
        TypeError: The queries are not floats.

    Reference:
        Radenovic et al., arXiv 1711.02512, section 3.4.
    """
    asked = as_matrix(queries, "queries", index.manifest.dim)
    scores, positions = index.search_positions(asked, num_neighbors, **settings)
    found, rows = np.unique(positions[positions >= 0], return_inverse=True)
    if not len(found):
        return index.search_positions(asked, k, **settings)
    near_rows = np.full(positions.shape, -1, dtype=np.int64)
    near_rows[positions >= 0] = rows
    near = torch.from_numpy(index.vectors(found))
    expanded = expand_queries(
        torch.from_numpy(asked), near, torch.from_numpy(scores), torch.from_numpy(near_rows), alpha=alpha
    )
    return index.search_positions(expanded, k, **settings)


def reranked_search(
    index: ImageIndex,
    queries: torch.Tensor | np.ndarray,
    k: int = 10,
    *,
    num_candidates: int = NUM_CANDIDATES,
    k1: int = K1,
    k2: int = K2,
    weight: float = WEIGHT,
    **settings: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Search for candidates, and order them by how much their neighbourhoods have in common with that of the query.

    The neighbours of an image are those among the candidates of the query, so that the cost does not depend on the size
    of the index.

    Args:
        index: The index to search.
        queries: `(num_queries, dim)` float, unit norm.
        k: Number of images to find, at least 1.
        num_candidates: Number of candidates for each query; k if that is more.
        k1: Number of neighbours that a neighbourhood is made of, at least 1; at most the number of candidates minus one
            is used.
        k2: Number of neighbourhoods that are averaged, from 1 (the image's own) to k1.
        weight: Weight of the Euclidean distance of the embeddings, from 0 to 1. The Jaccard distance of the
            neighbourhoods has the weight `1 - weight`.
        **settings: `model` and `where` of `ImageIndex.search`.

    Returns:
        scores: `(num_queries, k)` float32, descending: 1 minus the distance of the re-ranking. Thresholds that were
            measured for plain searches do not apply to them.
        positions: `(num_queries, k)` int64. If there are fewer than k images, the other scores are -inf, and their
            positions are -1.

    Raises:
        ValueError: A number is below 1, k2 is above k1, the weight is outside its range, a query is not finite or has
            another dimension, or a setting does not fit the index.
        TypeError: The queries are not floats.

    Reference:
        Zhong et al., arXiv 1701.08398. Deviation: there the neighbourhoods are those in the whole gallery.
    """
    asked = as_matrix(queries, "queries", index.manifest.dim)
    _, candidates = index.search_positions(asked, max(k, num_candidates), **settings)
    scores = np.full((len(asked), k), -np.inf, dtype=np.float32)
    positions = np.full((len(asked), k), -1, dtype=np.int64)
    for row in range(len(asked)):
        pool = candidates[row][candidates[row] >= 0]
        if len(pool) < 2:
            scores[row], positions[row] = (
                each[0] for each in index.search_positions(asked[row : row + 1], k, **settings)
            )
            continue
        query, vectors = torch.from_numpy(asked[row : row + 1]), torch.from_numpy(index.vectors(pool))
        own = torch.arange(len(pool))
        near = min(k1, len(pool) - 1)
        graph = nearest_neighbors(vectors, vectors, near, query_ids=own, gallery_ids=own)
        found = nearest_neighbors(query, vectors, len(pool))
        new_scores, order = rerank_reciprocal(query, vectors, *found, *graph, k1=near, k2=min(k2, near), weight=weight)
        best = min(k, len(pool))
        scores[row, :best], positions[row, :best] = new_scores[0, :best].numpy(), pool[order[0, :best].numpy()]
    return scores, positions
