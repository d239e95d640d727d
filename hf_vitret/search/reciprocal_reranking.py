"""Re-ranking by k-reciprocal neighbours: two images are alike where their neighbourhoods are."""

from __future__ import annotations

import torch

from hf_vitret.search.neighbor_lists import check_neighbor_lists
from hf_vitret.search.reciprocal_sets import ReciprocalSets, SparseRows, merge_rows

# Neighbourhoods of gallery items held at once: with 40 members each they take 200 MB.
_MAX_ITEMS = 400_000


@torch.no_grad()
def rerank_reciprocal(
    query_embeddings: torch.Tensor,
    gallery_embeddings: torch.Tensor,
    scores: torch.Tensor,
    indices: torch.Tensor,
    graph_scores: torch.Tensor,
    graph_indices: torch.Tensor,
    *,
    k1: int = 20,
    k2: int = 6,
    weight: float = 0.3,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Re-rank each query's neighbours by how much their neighbourhoods have in common with the query's.

    The distance is `(1 - weight) * jaccard + weight * squared Euclidean`; Jaccard's is that of two fuzzy sets, the
    `ReciprocalSets` of query and item, each averaged with those of its nearest. Only neighbourhoods of the items to be
    re-ranked are built, so the cost does not grow with the gallery.

    Args:
        query_embeddings: `(num_queries, dim)` float, unit norm.
        gallery_embeddings: `(num_gallery, dim)` float, unit norm.
        scores: `(num_queries, k)` float of the neighbours to re-rank, at least k1.
        indices: `(num_queries, k)` int64, their gallery rows; -1 where there are no more.
        graph_scores: `(num_gallery, >= k1)` float of each gallery item's neighbours, itself left out (`query_ids` and
            `gallery_ids` of `nearest_neighbors`).
        graph_indices: The same of int64, their gallery rows.
        k1: Neighbours that a set is made of.
        k2: Sets averaged, the own one among them.
        weight: Of the distance that the embeddings give, 0 to 1.

    Returns:
        `(num_queries, k)` float32, 1 less the distance, descending, and int64 gallery rows: the same ones as given.

    Raises:
        ValueError: Shapes do not match, an index is outside the gallery, a list is shorter than k1, or a setting is
            outside its range.

    Reference:
        Zhong et al., arXiv 1701.08398, equations 7 to 12 (k1 20, k2 6, weight 0.3). Deviations: see `ReciprocalSets`;
        and distances are not divided by the largest one of their row, as the authors' code does, which would make a
        score depend on the items that are far away.
    """
    check_neighbor_lists(query_embeddings, gallery_embeddings, scores, indices)
    check_neighbor_lists(gallery_embeddings, gallery_embeddings, graph_scores, graph_indices)
    if k1 < 1 or not 1 <= k2 <= k1 or not 0 <= weight <= 1:
        raise ValueError(f"expected k1 >= 1, k2 from 1 to k1 and weight from 0 to 1; got {k1}, {k2}, {weight}")
    shortest = min(indices.shape[1], graph_indices.shape[1])
    if shortest < k1:
        raise ValueError(f"expected lists of at least k1 = {k1} neighbours; got {shortest}: search for more")
    sets = ReciprocalSets(gallery_embeddings, graph_scores, graph_indices, k1)
    reranked_scores, reranked = torch.empty_like(scores, dtype=torch.float32), torch.empty_like(indices)
    at_once = max(1, _MAX_ITEMS // (indices.shape[1] * k2))
    for start in range(0, len(indices), at_once):
        rows = slice(start, start + at_once)
        own = sets.of_queries(query_embeddings[rows], scores[rows], indices[rows], k1)
        vectors = _averaged_queries(sets, own, indices[rows, : k2 - 1])
        items = torch.unique(indices[rows][indices[rows] >= 0])
        near = _averaged_items(sets, items, graph_indices[:, : k2 - 1])
        for query in range(len(indices[rows])):
            candidates, is_item = indices[start + query], indices[start + query] >= 0
            distance = torch.full_like(scores[0], torch.inf, dtype=torch.float32)
            jaccard = _jaccard(
                SparseRows(vectors.items[query], vectors.weights[query]),
                near,
                torch.searchsorted(items, candidates[is_item]),
                len(gallery_embeddings),
            )
            distance[is_item] = (1 - weight) * jaccard + weight * (2 - 2 * scores[start + query][is_item].float())
            order = distance.argsort(stable=True)
            reranked_scores[start + query], reranked[start + query] = 1 - distance[order], candidates[order]
    return reranked_scores, reranked


def _averaged_items(sets: ReciprocalSets, items: torch.Tensor, near: torch.Tensor) -> SparseRows:
    """Average the set of each item, `(rows,)`, with those of its nearest, `(num_gallery, k2 - 1)`."""
    members = torch.cat([items.unsqueeze(1), near[items]], dim=1)  # (rows, k2)
    return _mean_sets(sets, members, None)


def _averaged_queries(sets: ReciprocalSets, own: SparseRows, near: torch.Tensor) -> SparseRows:
    """Average the set of each query with those of its nearest items, `(num_queries, k2 - 1)`."""
    return _mean_sets(sets, near, own)


def _mean_sets(sets: ReciprocalSets, members: torch.Tensor, own: SparseRows | None) -> SparseRows:
    """Average the sets of some items, `(rows, members)`, -1 for none, and a further one of each row."""
    is_member = members >= 0
    needed, place = torch.unique(members.clamp(min=0), return_inverse=True)
    share = 1 / (is_member.sum(dim=1, keepdim=True) + (own is not None)).clamp(min=1)  # (rows, 1)
    items, weights = [], []
    if needed.numel():
        plain = sets.of_items(needed)
        items.append(plain.items[place].masked_fill(~is_member.unsqueeze(2), -1).flatten(1))
        weights.append(torch.where(is_member.unsqueeze(2), plain.weights[place], 0.0).flatten(1) * share)
    if own is not None:
        items.append(own.items)
        weights.append(own.weights * share)
    return merge_rows(SparseRows(torch.cat(items, dim=1), torch.cat(weights, dim=1)))


def _jaccard(vector: SparseRows, near: SparseRows, rows: torch.Tensor, num_gallery: int) -> torch.Tensor:
    """Compute the Jaccard distances of one fuzzy set to some of others, `(rows,)`."""
    dense = torch.zeros(num_gallery + 1, device=rows.device)  # the last entry stands for gaps
    dense[vector.items] = vector.weights  # a gap, -1, is the last entry and weighs 0
    weights = near.weights[rows]
    common = torch.minimum(dense[near.items[rows]], weights).sum(dim=1)
    together = vector.weights.sum() + weights.sum(dim=1) - common
    return 1 - common / together.clamp(min=1e-30)
