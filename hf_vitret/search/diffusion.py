"""Ranking by diffusion: scores that spread from a query along the neighbours of its neighbours."""

from __future__ import annotations

import torch

from hf_vitret.search.neighbor_lists import check_neighbor_lists

_QUERIES = 64  # solved for at once: three float32 vectors of the gallery's length each, 768 MB at a million images


class Diffusion:
    """A gallery's graph of mutual neighbours, and the ranking that a random walk on it gives.

    The affinity of two items is their score to a power, where each is among the k nearest of the other; else 0. With S
    the affinities normalised by their sums on both sides, a query's ranking is the solution of
    `(I - alpha S) f = (1 - alpha) y`, where y holds the affinities of the query with its own neighbours. It is found by
    conjugate gradients, without a matrix that is not sparse: `num_gallery * k` affinities are all that is kept.

    Args:
        gallery_embeddings: `(num_gallery, dim)` float, unit norm.
        scores: `(num_gallery, k)` float of each item's neighbours, itself left out (`query_ids` and `gallery_ids` of
            `nearest_neighbors`).
        indices: `(num_gallery, k)` int64, their gallery rows; -1 where there are no more.
        alpha: How far the walk goes, from 0 (the query's neighbours alone) to below 1.
        gamma: Power of a score.

    Raises:
        ValueError: Shapes do not match, an index is outside the gallery, or alpha or gamma is outside its range.

    Reference:
        Iscen et al., arXiv 1611.05113, section 3: alpha 0.99, gamma 3, k 50, 20 iterations for global descriptors.
    """

    def __init__(
        self,
        gallery_embeddings: torch.Tensor,
        scores: torch.Tensor,
        indices: torch.Tensor,
        *,
        alpha: float = 0.99,
        gamma: float = 3.0,
    ) -> None:
        if not 0 <= alpha < 1:
            raise ValueError(f"alpha must be at least 0 and below 1; got {alpha}")
        if gamma <= 0:
            raise ValueError(f"gamma must be above 0; got {gamma}")
        check_neighbor_lists(gallery_embeddings, gallery_embeddings, scores, indices)
        self.alpha, self.gamma = alpha, gamma
        self._gallery = gallery_embeddings
        self._transitions = _normalized(_mutual_affinities(scores, indices, gamma))

    @torch.no_grad()
    def rank(
        self,
        query_embeddings: torch.Tensor,
        scores: torch.Tensor,
        indices: torch.Tensor,
        k: int,
        *,
        num_iterations: int = 20,
        tolerance: float = 1e-6,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Rank the gallery for some queries.

        Args:
            query_embeddings: `(num_queries, dim)` float, unit norm.
            scores: `(num_queries, num_seeds)` float of each query's neighbours: where the walk starts.
            indices: `(num_queries, num_seeds)` int64, their gallery rows.
            k: How many items to return, at least 1.
            num_iterations: Iterations of conjugate gradients at most.
            tolerance: The iterations end once the residual is this part of its first norm, for all queries.

        Returns:
            `(num_queries, k)` float32 diffused scores, descending, and int64 gallery rows. Items that the walk does not
            reach score 0; beyond the gallery the rows are padded with -inf and -1.

        Raises:
            ValueError: As for the constructor, or k is below 1.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1; got {k}")
        check_neighbor_lists(query_embeddings, self._gallery, scores, indices)
        num_queries, num_gallery = len(query_embeddings), len(self._gallery)
        found_scores = torch.full((num_queries, k), -torch.inf, device=scores.device)
        found = torch.full((num_queries, k), -1, dtype=torch.int64, device=scores.device)
        for start in range(0, num_queries, _QUERIES):
            rows = slice(start, start + _QUERIES)
            seeds = torch.zeros(len(indices[rows]), num_gallery, device=scores.device)
            weights = scores[rows].float().clamp(min=0).pow(self.gamma).masked_fill(indices[rows] < 0, 0.0)
            seeds.scatter_add_(1, indices[rows].clamp(min=0), weights)
            diffused = self._solve((1 - self.alpha) * seeds.T, num_iterations, tolerance).T  # (queries, num_gallery)
            best = diffused.topk(min(k, num_gallery), dim=1)
            found_scores[rows, : best.values.shape[1]], found[rows, : best.indices.shape[1]] = best
        return found_scores, found

    def _solve(self, right_side: torch.Tensor, num_iterations: int, tolerance: float) -> torch.Tensor:
        """Solve `(I - alpha S) f = right_side`, `(num_gallery, queries)`, by conjugate gradients, column by column."""
        solution = torch.zeros_like(right_side)
        residual, direction = right_side.clone(), right_side.clone()
        squares = first = residual.square().sum(dim=0)  # (queries,)
        for _ in range(num_iterations):
            if bool((squares <= tolerance**2 * first).all()):
                break
            image = direction - self.alpha * (self._transitions @ direction)
            # A column that is solved, or was 0 to begin with, has no direction left: its step is 0.
            step = torch.where(squares > 0, squares / (direction * image).sum(dim=0), 0.0)
            solution += step * direction
            residual -= step * image
            previous, squares = squares, residual.square().sum(dim=0)
            direction = residual + torch.where(previous > 0, squares / previous, 0.0) * direction
        return solution


def _mutual_affinities(scores: torch.Tensor, indices: torch.Tensor, gamma: float) -> torch.Tensor:
    """Build the symmetric sparse matrix of affinities of items that are each other's neighbours."""
    num_items = len(indices)
    rows = torch.arange(num_items, device=indices.device).unsqueeze(1).expand_as(indices)
    is_edge = (indices >= 0) & (scores > 0) & (indices != rows)
    row, column = rows[is_edge], indices[is_edge]  # (num_edges,) each
    weight = scores[is_edge].float().pow(gamma)
    key, twin = row * num_items + column, column * num_items + row
    ordered, order = key.sort()
    place = torch.searchsorted(ordered, twin).clamp(max=max(len(key) - 1, 0))
    is_mutual = ordered[place] == twin
    # The two scores of a pair may differ in their last digits.
    weight = (weight + weight[order[place]])[is_mutual] / 2
    row, column = row[is_mutual], column[is_mutual]
    return torch.sparse_coo_tensor(
        torch.stack([row, column]), weight, (num_items, num_items), check_invariants=True
    ).coalesce()


def _normalized(affinities: torch.Tensor) -> torch.Tensor:
    """Divide by the square roots of the sums of row and column."""
    sums = torch.sparse.sum(affinities, dim=1).to_dense()
    scale = torch.where(sums > 0, sums.rsqrt(), 0.0)
    row, column = affinities.indices()
    values = affinities.values() * scale[row] * scale[column]
    return torch.sparse_coo_tensor(
        affinities.indices(), values, affinities.shape, is_coalesced=True, check_invariants=True
    )
