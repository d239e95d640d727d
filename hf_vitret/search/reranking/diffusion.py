"""Ranking by diffusion: scores that spread from a query along the neighbours of its neighbours."""

from __future__ import annotations

import torch

from hf_vitret.search.neighbor_lists import check_neighbor_lists
from hf_vitret.search.reranking.affinity_graph import AffinityGraph, mutual_graph

# Queries whose walks are followed together, and entries of their vectors over the items reached that are solved for at
# once, at most (those of one query at least): 64 MB of float32 a set of vectors, of which there are five at the peak.
_QUERIES = 64
_ENTRIES = 16_000_000


class Diffusion:
    """A gallery's graph of mutual neighbours, and the ranking that a random walk on it gives.

    The affinity of two items is their score to a power, where each is among the k nearest of the other; else 0. With S
    the affinities normalised by their sums on both sides, a query's ranking is the solution of
    `(I - alpha S) f = (1 - alpha) y`, where y holds the affinities of the query with its own neighbours. It is found by
    conjugate gradients, without a matrix that is not sparse: at most `num_gallery * k` affinities, 12 bytes each, are
    all that is kept. An iteration takes the walk one step further, so only items that so many steps can reach are
    solved for: the cost does not grow with the gallery, but with what the walks reach.

    Args:
        gallery_embeddings: `(num_gallery, dim)` float, unit norm.
        scores: `(num_gallery, k)` float of each item's neighbours, of `nearest_neighbors` or another index. An item in
            its own list joins nothing, but takes a place.
        indices: `(num_gallery, k)` int64, their gallery rows; -1 where there are no more.
        alpha: How far the walk goes, from 0 (the query's neighbours alone) to below 1.
        gamma: Power of a score.

    Raises:
        ValueError: The lists are not what `check_neighbor_lists` expects, or alpha or gamma is outside its range.

    Reference:
        Iscen et al., arXiv 1611.05113, section 3: alpha 0.99, gamma 3, k 50, 20 iterations for global descriptors.
    """

    @torch.no_grad()
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
        self._transitions = mutual_graph(scores, indices, gamma).normalized()

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
            tolerance: A query's iterations end once its residual is this part of its first norm.

        Returns:
            `(num_queries, k)` float32 diffused scores, descending, and int64 gallery rows. Items that the walk does not
            reach score 0, and it is open which of them fill up a list; beyond the gallery the rows are padded with
            -inf and -1.

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
            near, weights = indices[start : start + _QUERIES], scores[start : start + _QUERIES].float()
            weights = weights.clamp(min=0).pow(self.gamma).masked_fill(near < 0, 0.0)  # (queries, num_seeds)
            items = self._transitions.reached(near[near >= 0], num_iterations)
            transitions = self._transitions.among(items)
            candidates = torch.cat([items, _others(items, num_gallery, k)])
            places = torch.searchsorted(items, near.clamp(min=0)).clamp(max=max(len(items) - 1, 0))
            for first, some in _parts(len(near), len(items)):
                diffused = torch.zeros(len(near[some]), len(candidates), device=scores.device)
                if len(items):
                    seeds = torch.zeros(len(items), len(near[some]), device=scores.device)
                    seeds.T.scatter_add_(1, places[some], weights[some])
                    solution = _solve(transitions, self.alpha, seeds.mul_(1 - self.alpha), num_iterations, tolerance)
                    diffused[:, : len(items)] = solution.T
                best = diffused.topk(min(k, num_gallery), dim=1)
                rows = slice(start + first, start + first + len(diffused))
                found_scores[rows, : best.values.shape[1]] = best.values
                found[rows, : best.values.shape[1]] = candidates[best.indices]
        return found_scores, found


def _parts(num_queries: int, num_items: int) -> list[tuple[int, slice]]:
    """Cut queries into parts whose vectors over some items are no longer than `_ENTRIES` together."""
    size = max(1, _ENTRIES // max(num_items, 1))
    return [(first, slice(first, first + size)) for first in range(0, num_queries, size)]


def _others(items: torch.Tensor, num_gallery: int, k: int) -> torch.Tensor:
    """Return the first k gallery rows, or as many as there are, that are not among some."""
    is_other = torch.ones(num_gallery, dtype=torch.bool, device=items.device)
    is_other[items] = False
    return is_other.nonzero().squeeze(1)[:k]


def _solve(
    transitions: AffinityGraph, alpha: float, residual: torch.Tensor, num_iterations: int, tolerance: float
) -> torch.Tensor:
    """Solve `(I - alpha S) f = residual`, `(num_items, queries)`, by conjugate gradients, column by column.

    A column that is solved stays as it is: no query's scores depend on what the others still need. `residual` is
    written to.
    """
    solution, direction = torch.zeros_like(residual), residual.clone()
    squares = first = residual.square().sum(dim=0)  # (queries,)
    for _ in range(num_iterations):
        is_open = squares > tolerance**2 * first
        if not bool(is_open.any()):
            break
        image = transitions.times(direction).mul_(-alpha).add_(direction)
        step = torch.where(is_open, squares / (direction * image).sum(dim=0), 0.0)
        solution.addcmul_(direction, step)
        residual.addcmul_(image, step, value=-1)
        previous, squares = squares, residual.square().sum(dim=0)
        direction.mul_(torch.where(is_open, squares / previous, 0.0)).add_(residual)
    return solution
