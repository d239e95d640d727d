"""Alpha query expansion and database augmentation: embeddings averaged with those of their neighbours."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from hf_vitret.search.neighbor_lists import check_neighbor_lists, check_without_self

# Values of neighbours' embeddings gathered at once: 20 MB of float32.
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

    The query itself has weight 1, and neighbours with a score of 0 or less have weight 0. A second search, with the
    result, gives the expanded ranking. The neighbours are gathered in parts of 20 MB, or of one query.

    Args:
        query_embeddings: `(num_queries, dim)` float, unit norm.
        gallery_embeddings: `(num_gallery, dim)` float, unit norm.
        scores: `(num_queries, k)` float, descending, the scores of the k neighbours to add, from `nearest_neighbors` or
            any other index that scores by the inner product.
        indices: `(num_queries, k)` int64, the gallery rows of the neighbours; -1 for no neighbour.
        alpha: Power of the score, at least 0. 0 gives all neighbours the same weight (AQE).

    Returns:
        `(num_queries, dim)` float32, unit norm.

    Raises:
        ValueError: The lists are not valid (`check_neighbor_lists`), or alpha is negative.
        TypeError: The embeddings or scores are not floating-point tensors, or the indices are not int64 tensors.

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
        raise ValueError(f"alpha must be 0 or more; got {alpha}: the default is 3")
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
    """Add to each gallery item its nearest gallery items, each weighted by its score to the power alpha.

    This is `expand_queries` for the gallery. It is done once, and costs nothing when queries are searched.

    Args:
        gallery_embeddings: `(num_gallery, dim)` float, unit norm.
        scores: `(num_gallery, k)` float, descending, the scores of each item's neighbours without the item itself (from
            `nearest_neighbors` with `query_ids` and `gallery_ids`, or `without_self`).
        indices: `(num_gallery, k)` int64, the gallery rows of the neighbours; -1 for no neighbour.
        alpha: Power of the score, at least 0. 0 gives all neighbours the same weight.

    Returns:
        `(num_gallery, dim)` float32, unit norm.

    Raises:
        ValueError: The lists are not valid (`check_neighbor_lists`), alpha is negative, or an item is among its own
            neighbours and would count twice.
        TypeError: The embeddings or scores are not floating-point tensors, or the indices are not int64 tensors.

    Reference:
        Turcot and Lowe, ICCV Workshops 2009. Gordo et al., arXiv 1610.07940, section 5.2, weight by rank; the weights
        by score are those of alpha query expansion.
    """
    check_without_self(indices)
    return expand_queries(gallery_embeddings, gallery_embeddings, scores, indices, alpha=alpha)
