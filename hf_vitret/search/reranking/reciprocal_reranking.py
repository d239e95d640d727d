"""Re-ranking by k-reciprocal neighbours: images are scored by how similar their neighbourhoods are."""

from __future__ import annotations

import torch

from hf_vitret.search.neighbor_lists import check_neighbor_lists, check_without_self
from hf_vitret.search.reranking.reciprocal_sets import ReciprocalSets, SparseRows, merge_rows, stack_rows

# Entries of the sets in memory at once, counted as 2 k1 for each set (most sets have fewer, but all are padded to the
# largest): 100 MB of int64 and float32. At least the sets of one query: of its candidates and their k2 - 1 nearest.
_HELD = 8_000_000
# Entries of the sets averaged at once: 12 MB, and half a dozen intermediates of this size.
_AVERAGED = 1_000_000


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
    """Re-rank each query's neighbours by how much their neighbourhoods have in common with that of the query.

    The distance is `(1 - weight) * jaccard + weight * squared Euclidean`. The Jaccard distance is that of two fuzzy
    sets, the `ReciprocalSets` of query and item, each averaged with the sets of its nearest items. Only the sets of the
    items to re-rank and of their neighbours are built, so the cost does not grow with the gallery.

    Args:
        query_embeddings: `(num_queries, dim)` float, unit norm.
        gallery_embeddings: `(num_gallery, dim)` float, unit norm.
        scores: `(num_queries, k)` float, descending, the scores of the neighbours to re-rank; k is at least k1.
        indices: `(num_queries, k)` int64, the gallery rows of these neighbours; -1 for no neighbour.
        graph_scores: `(num_gallery, k1 or more)` float, descending, the scores of each gallery item's neighbours
            without the item itself (from `nearest_neighbors` with `query_ids` and `gallery_ids`, or `without_self`).
        graph_indices: `(num_gallery, k1 or more)` int64, the gallery rows of these neighbours; -1 for no neighbour.
        k1: Number of neighbours that a set is made of, at least 1.
        k2: Number of sets that are averaged, 1 (the set itself) to k1.
        weight: Weight of the Euclidean distance of the embeddings, 0 to 1.

    Returns:
        `(num_queries, k)` float32 scores, 1 - distance, descending, and `(num_queries, k)` int64, the gallery rows of
        `indices` in the new order.

    Raises:
        ValueError: The lists are not valid (`check_neighbor_lists`), are shorter than k1, or have an item among its own
            neighbours; or a setting is outside its range.
        TypeError: The embeddings or scores are not floating-point tensors, or the indices are not int64 tensors.

    Reference:
        Zhong et al., arXiv 1701.08398, equations 7 to 12 (k1 20, k2 6, weight 0.3). Deviations: those of
        `ReciprocalSets`, and distances are not divided by the largest distance of their row. The authors' code divides
        them, which makes a score depend on items that are far away.
    """
    check_neighbor_lists(query_embeddings, gallery_embeddings, scores, indices)
    check_neighbor_lists(gallery_embeddings, gallery_embeddings, graph_scores, graph_indices, prefix="graph_")
    check_without_self(graph_indices)
    if k1 < 1 or not 1 <= k2 <= k1 or not 0 <= weight <= 1:
        raise ValueError(
            f"expected k1 of at least 1, k2 from 1 to k1 and weight from 0 to 1; got {k1}, {k2} and {weight}: the "
            "paper uses 20, 6 and 0.3"
        )
    shortest = min(indices.shape[1], graph_indices.shape[1])
    if shortest < k1:
        raise ValueError(
            f"expected lists of at least k1 = {k1} neighbours; got {shortest}: search for more neighbours, or lower k1"
        )
    sets = ReciprocalSets(gallery_embeddings, graph_scores, graph_indices, k1)
    reranked_scores, reranked = torch.empty_like(scores, dtype=torch.float32), torch.empty_like(indices)
    at_once = max(1, _HELD // (indices.shape[1] * k2 * 2 * k1))
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
            )
            distance[is_item] = (1 - weight) * jaccard + weight * (2 - 2 * scores[start + query][is_item].float())
            order = distance.argsort(stable=True)
            reranked_scores[start + query], reranked[start + query] = 1 - distance[order], candidates[order]
    return reranked_scores, reranked


def _averaged_items(sets: ReciprocalSets, items: torch.Tensor, near: torch.Tensor) -> SparseRows:
    """Average the set of each item, `(rows,)`, with the sets of its nearest items, `(num_gallery, k2 - 1)`."""
    members = torch.cat([items.unsqueeze(1), near[items]], dim=1)  # (rows, k2)
    return _mean_sets(sets, members, None)


def _averaged_queries(sets: ReciprocalSets, own: SparseRows, near: torch.Tensor) -> SparseRows:
    """Average the set of each query with the sets of its nearest items, `(num_queries, k2 - 1)`."""
    return _mean_sets(sets, near, own)


def _mean_sets(sets: ReciprocalSets, members: torch.Tensor, own: SparseRows | None) -> SparseRows:
    """Average the sets of the items in each row, `(rows, members)`, -1 for no item, and the row's own set if any."""
    is_member = members >= 0
    needed, position = torch.unique(members.clamp(min=0), return_inverse=True)
    share = 1 / (is_member.sum(dim=1, keepdim=True) + (own is not None)).clamp(min=1)  # (rows, 1)
    plain = sets.of_items(needed)
    parts = []
    for rows in torch.split(torch.arange(len(members), device=members.device), _rows_averaged(members, plain)):
        is_own = is_member[rows].unsqueeze(2)  # (rows, members, 1)
        items = [plain.items[position[rows]].masked_fill(~is_own, -1).flatten(1)]
        weights = [torch.where(is_own, plain.weights[position[rows]], 0.0).flatten(1) * share[rows]]
        if own is not None:
            items.append(own.items[rows])
            weights.append(own.weights[rows] * share[rows])
        parts.append(merge_rows(SparseRows(torch.cat(items, dim=1), torch.cat(weights, dim=1))))
    return stack_rows(parts)


def _rows_averaged(members: torch.Tensor, plain: SparseRows) -> int:
    return max(1, _AVERAGED // max(1, members.shape[1] * plain.items.shape[1]))


def _jaccard(vector: SparseRows, near: SparseRows, rows: torch.Tensor) -> torch.Tensor:
    """Compute the Jaccard distances of one fuzzy set to other sets, float32.

    Args:
        vector: The set, one row with ascending items.
        near: The other sets.
        rows: `(rows,)` int64, the rows of `near` to compare with.

    Returns:
        `(rows,)` float32.
    """
    is_member = vector.items >= 0
    members, member_weights = vector.items[is_member], vector.weights[is_member]
    items, weights = near.items[rows], near.weights[rows]  # (rows, width)
    position = torch.searchsorted(members, items).clamp(max=max(len(members) - 1, 0))
    own = (
        torch.where(members[position] == items, member_weights[position], 0.0)
        if len(members)
        else torch.zeros_like(weights)
    )
    # In float64, so that a sum does not depend on the padding of the rows.
    common = torch.minimum(own, weights).sum(dim=1, dtype=torch.float64)
    together = member_weights.sum(dtype=torch.float64) + weights.sum(dim=1, dtype=torch.float64) - common
    return (1 - common / together.clamp(min=1e-30)).float()
