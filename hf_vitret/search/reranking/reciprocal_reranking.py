"""Re-ranking by k-reciprocal neighbours: two images are alike where their neighbourhoods are."""

from __future__ import annotations

import torch

from hf_vitret.search.neighbor_lists import check_neighbor_lists, check_without_self
from hf_vitret.search.reranking.reciprocal_sets import ReciprocalSets, SparseRows, merge_rows, stack_rows

# Places in the neighbourhoods held at once, counting 2 k1 for each (most have fewer members; the widest row decides):
# 100 MB of int64 and float32. They are those of one query at least: its candidates and their k2 - 1 nearest.
_HELD = 8_000_000
# Places averaged at once: 12 MB, and half a dozen intermediates of this size.
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
            `gallery_ids` of `nearest_neighbors`, or `without_self`).
        graph_indices: The same of int64, their gallery rows.
        k1: Neighbours that a set is made of.
        k2: Sets averaged, the own one among them.
        weight: Of the distance that the embeddings give, 0 to 1.

    Returns:
        `(num_queries, k)` float32, 1 less the distance, descending, and int64 gallery rows: the same ones as given.

    Raises:
        ValueError: The lists are not what `check_neighbor_lists` expects, are shorter than k1, or name an item
            among its own neighbours; or a setting is outside its range.
        TypeError: As for `check_neighbor_lists`.

    Reference:
        Zhong et al., arXiv 1701.08398, equations 7 to 12 (k1 20, k2 6, weight 0.3). Deviations: see `ReciprocalSets`;
        and distances are not divided by the largest one of their row, as the authors' code does, which would make a
        score depend on the items that are far away.
    """
    check_neighbor_lists(query_embeddings, gallery_embeddings, scores, indices)
    check_neighbor_lists(gallery_embeddings, gallery_embeddings, graph_scores, graph_indices, prefix="graph_")
    check_without_self(graph_indices)
    if k1 < 1 or not 1 <= k2 <= k1 or not 0 <= weight <= 1:
        raise ValueError(f"expected k1 >= 1, k2 from 1 to k1 and weight from 0 to 1; got {k1}, {k2}, {weight}")
    shortest = min(indices.shape[1], graph_indices.shape[1])
    if shortest < k1:
        raise ValueError(f"expected lists of at least k1 = {k1} neighbours; got {shortest}: search for more")
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
    plain = sets.of_items(needed)
    parts = []
    for rows in torch.split(torch.arange(len(members), device=members.device), _rows_averaged(members, plain)):
        is_own = is_member[rows].unsqueeze(2)  # (rows, members, 1)
        items = [plain.items[place[rows]].masked_fill(~is_own, -1).flatten(1)]
        weights = [torch.where(is_own, plain.weights[place[rows]], 0.0).flatten(1) * share[rows]]
        if own is not None:
            items.append(own.items[rows])
            weights.append(own.weights[rows] * share[rows])
        parts.append(merge_rows(SparseRows(torch.cat(items, dim=1), torch.cat(weights, dim=1))))
    return stack_rows(parts)


def _rows_averaged(members: torch.Tensor, plain: SparseRows) -> int:
    return max(1, _AVERAGED // max(1, members.shape[1] * plain.items.shape[1]))


def _jaccard(vector: SparseRows, near: SparseRows, rows: torch.Tensor) -> torch.Tensor:
    """Compute the Jaccard distances of one fuzzy set, ascending, to some of others, `(rows,)`."""
    is_member = vector.items >= 0
    members, their_weights = vector.items[is_member], vector.weights[is_member]
    items, weights = near.items[rows], near.weights[rows]  # (rows, width)
    place = torch.searchsorted(members, items).clamp(max=max(len(members) - 1, 0))
    own = torch.where(members[place] == items, their_weights[place], 0.0) if len(members) else torch.zeros_like(weights)
    # In float64, so that a sum does not depend on how far the rows are filled up.
    common = torch.minimum(own, weights).sum(dim=1, dtype=torch.float64)
    together = their_weights.sum(dtype=torch.float64) + weights.sum(dim=1, dtype=torch.float64) - common
    return (1 - common / together.clamp(min=1e-30)).float()
