"""Searches of an index that look twice: with expanded queries, or at the neighbourhoods of what was found."""

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
    """Search, add what was found to each query, and search again; see `expand_queries`.

    Args:
        index: What is searched.
        queries: `(num_queries, dim)` float, unit norm.
        k: How many images.
        num_neighbors: Images that are added to a query. The paper's 50 suit landmarks, of which there are as many
            pictures; where a class has few images, fewer are right.
        alpha: As for `expand_queries`.
        **settings: `model` and `where` of `ImageIndex.search`, for both searches.

    Returns:
        Scores and positions, `(num_queries, k)`, as `ImageIndex.search_positions`; the scores are those of the
        expanded queries, on which no threshold was measured.

    Raises:
        ValueError: As for `ImageIndex.search` and `expand_queries`.
        TypeError: As for these.

    Reference:
        Radenovic et al., arXiv 1711.02512, section 3.4.
    """
    asked = as_matrix(queries, "queries", index.manifest.dim)
    scores, positions = index.search_positions(asked, num_neighbors, **settings)
    found, rows = np.unique(positions[positions >= 0], return_inverse=True)
    if not len(found):
        return index.search_positions(asked, k, **settings)
    places = np.full(positions.shape, -1, dtype=np.int64)
    places[positions >= 0] = rows
    near = torch.from_numpy(index.vectors(found))
    expanded = expand_queries(
        torch.from_numpy(asked), near, torch.from_numpy(scores), torch.from_numpy(places), alpha=alpha
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
    """Search for more than is wanted, and order it by k-reciprocal neighbours; see `rerank_reciprocal`.

    Neighbourhoods are those among the candidates of a query, so that the cost does not depend on the size of the index.

    Args:
        index: What is searched.
        queries: `(num_queries, dim)` float, unit norm.
        k: How many images.
        num_candidates: Images that are ordered; at least k are.
        k1: As for `rerank_reciprocal`; at most the candidates less one.
        k2: As for `rerank_reciprocal`.
        weight: As for `rerank_reciprocal`.
        **settings: `model` and `where` of `ImageIndex.search`.

    Returns:
        Scores and positions, `(num_queries, k)`, as `ImageIndex.search_positions`; the scores are those of the
        re-ranking, on which no threshold was measured.

    Raises:
        ValueError: As for `ImageIndex.search` and `rerank_reciprocal`.
        TypeError: As for these.

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
