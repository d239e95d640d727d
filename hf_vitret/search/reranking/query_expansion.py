"""Queries and galleries averaged with their neighbours: alpha query expansion and database augmentation."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from hf_vitret.search.neighbor_lists import check_neighbor_lists, check_without_self

# Numbers of neighbours gathered at once: 20 MB of float32.
_GATHERED = 5_000_000


@torch.no_grad()
def expand_queries(
    query_embeddings: torch.Tensor,
    gallery_embeddings: torch.Tensor,
    scores: torch.Tensor,
    indices: torch.Tensor,
    *,
    alpha: float = 3.0,
) -> torch.Tensor:
    """Add to each query its nearest gallery items, each weighted by its score to the power alpha.

    The query itself counts 1. A neighbour of negative score counts nothing. Only the neighbours are gathered, 20 MB (or
    one query's) at a time; a second search with the result gives the expanded ranking.

    Args:
        query_embeddings: `(num_queries, dim)` float, unit norm.
        gallery_embeddings: `(num_gallery, dim)` float, unit norm.
        scores: `(num_queries, k)` float, descending, of the k neighbours to add, as `nearest_neighbors` returns them or
            any other index that scores by the inner product.
        indices: `(num_queries, k)` int64, their gallery rows; -1 where there are no more.
        alpha: Power of the score; 0 averages all neighbours alike (AQE).

    Returns:
        `(num_queries, dim)` float32, unit norm.

    Raises:
        ValueError: The lists are not what `check_neighbor_lists` expects, or alpha is negative.
        TypeError: As for `check_neighbor_lists`.

    Reference:
        Radenovic et al., arXiv 1711.02512, section 3.4 (alpha 3, 50 neighbours); the average of Chum et al., ICCV
        2007, is alpha 0.

    Example:
        >>> gallery = torch.tensor([[0.6, 0.8], [0.0, 1.0]])
        >>> query = torch.tensor([[1.0, 0.0]])
        >>> expand_queries(query, gallery, torch.tensor([[0.6]]), torch.tensor([[0]]), alpha=0.0)
        tensor([[0.8944, 0.4472]])
    """
    if alpha < 0:
        raise ValueError(f"alpha must be 0 or more; got {alpha}")
    check_neighbor_lists(query_embeddings, gallery_embeddings, scores, indices)
    expanded = torch.empty(len(query_embeddings), query_embeddings.shape[1], device=query_embeddings.device)
    at_once = max(1, _GATHERED // max(1, indices.shape[1] * query_embeddings.shape[1]))
    for start in range(0, len(query_embeddings), at_once):
        rows = slice(start, start + at_once)
        near = indices[rows]  # (rows, k)
        counts = (scores[rows] > 0) & (near >= 0)
        weights = torch.where(counts, scores[rows].float().clamp(min=0).pow(alpha), 0.0)  # 0 ** 0 is 1
        neighbors = gallery_embeddings[near.clamp(min=0)].float()  # (rows, k, dim)
        added = torch.einsum("rk,rkd->rd", weights, neighbors)
        expanded[rows] = F.normalize(query_embeddings[rows].float() + added, dim=1)
    return expanded


def augment_database(
    gallery_embeddings: torch.Tensor, scores: torch.Tensor, indices: torch.Tensor, *, alpha: float = 3.0
) -> torch.Tensor:
    """Add to each gallery item its nearest ones, as `expand_queries` does with a query.

    Done once for a gallery, it makes the search steadier at no cost at query time.

    Args:
        gallery_embeddings: `(num_gallery, dim)` float, unit norm.
        scores: `(num_gallery, k)` float of each item's neighbours, itself left out (`query_ids` and `gallery_ids` of
            `nearest_neighbors`, or `without_self`).
        indices: `(num_gallery, k)` int64, their gallery rows.
        alpha: As for `expand_queries`.

    Returns:
        `(num_gallery, dim)` float32, unit norm.

    Raises:
        ValueError: As for `expand_queries`; or an item is its own neighbour, and would count twice.

    Reference:
        Turcot and Lowe, ICCV Workshops 2009; with weights by rank in Gordo et al., arXiv 1610.07940, section 5.2.
        Weights by score, as here, are those of alpha query expansion.
    """
    check_without_self(indices)
    return expand_queries(gallery_embeddings, gallery_embeddings, scores, indices, alpha=alpha)
