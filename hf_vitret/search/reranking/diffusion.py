"""Ranking by diffusion: scores spread from the neighbours of a query over the graph of mutual neighbours."""

from __future__ import annotations

import torch

from hf_vitret.search.neighbor_lists import check_neighbor_lists
from hf_vitret.search.reranking.affinity_graph import AffinityGraph, mutual_graph

# Queries that share one subgraph of reachable items.
_QUERIES = 64
# Unknowns solved for at once, one for each query and reachable item (those of one query at least): 64 MB of float32 for
# each set of vectors, and there are five sets at the peak.
_ENTRIES = 16_000_000


class Diffusion:
    """Rank a gallery by diffusion, a random walk on its graph of mutual neighbours.

    The affinity of two items is their score to a power if each is among the k nearest of the other, else 0. With S the
    affinities normalised by the sums of rows and columns, the diffused scores f of a query are the solution of
    `(I - alpha S) f = (1 - alpha) y`, where y has the affinities of the query with its own neighbours. The solution is
    found by conjugate gradients with sparse matrices only, of at most `num_gallery * k` affinities, 12 bytes each. An
    iteration follows one more edge from the query's neighbours, so that only items within as many edges as there are
    iterations are unknowns: the cost grows with the number of these items, not with the gallery.

    Args:
        gallery_embeddings: `(num_gallery, dim)` float, unit norm.
        scores: `(num_gallery, k)` float, descending, the scores of each item's neighbours, from `nearest_neighbors` or
            another index. An item in its own list makes no edge, but is one of its k neighbours.
        indices: `(num_gallery, k)` int64, the gallery rows of the neighbours; -1 for no neighbour.
        alpha: Weight of the scores that are passed on along edges, from 0 (the query's neighbours alone) to below 1.
        gamma: Power of the scores in an affinity, above 0.

    Raises:
        ValueError: The lists are not valid (`check_neighbor_lists`), or alpha or gamma is outside its range.
        TypeError: The embeddings or scores are not floating-point tensors, or the indices are not int64 tensors.

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
            raise ValueError(f"alpha must be at least 0 and below 1; got {alpha}: the paper uses 0.99")
        if gamma <= 0:
            raise ValueError(f"gamma must be above 0; got {gamma}: the paper uses 3")
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
            scores: `(num_queries, num_seeds)` float, descending, the scores of each query's neighbours, from which the
                scores spread.
            indices: `(num_queries, num_seeds)` int64, the gallery rows of the neighbours; -1 for no neighbour.
            k: Number of items to return, at least 1.
            num_iterations: Largest number of iterations of conjugate gradients.
            tolerance: A query is solved once the norm of its residual is at most this share of the norm at the start.

        Returns:
            `(num_queries, k)` float32 diffused scores, descending, and `(num_queries, k)` int64 gallery rows. Items
            that are not reached score 0, and any of them may be at the end of a list. Lists longer than the gallery
            are padded with score -inf and index -1.

        Raises:
            ValueError: The lists are not valid (`check_neighbor_lists`), or k is below 1.
            TypeError: The embeddings or scores are not floating-point tensors, or the indices are not int64 tensors.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1; got {k}: pass the number of items to return")
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
            positions = torch.searchsorted(items, near.clamp(min=0)).clamp(max=max(len(items) - 1, 0))
            for first, some in _parts(len(near), len(items)):
                diffused = torch.zeros(len(near[some]), len(candidates), device=scores.device)
                if len(items):
                    seeds = torch.zeros(len(items), len(near[some]), device=scores.device)
                    seeds.T.scatter_add_(1, positions[some], weights[some])
                    solution = _solve(transitions, self.alpha, seeds.mul_(1 - self.alpha), num_iterations, tolerance)
                    diffused[:, : len(items)] = solution.T
                best = diffused.topk(min(k, num_gallery), dim=1)
                rows = slice(start + first, start + first + len(diffused))
                found_scores[rows, : best.values.shape[1]] = best.values
                found[rows, : best.values.shape[1]] = candidates[best.indices]
        return found_scores, found


def _parts(num_queries: int, num_items: int) -> list[tuple[int, slice]]:
    """Split queries into parts of at most `_ENTRIES` unknowns each: the first query of a part, and its slice."""
    size = max(1, _ENTRIES // max(num_items, 1))
    return [(first, slice(first, first + size)) for first in range(0, num_queries, size)]


def _others(items: torch.Tensor, num_gallery: int, k: int) -> torch.Tensor:
    """Return the first k gallery rows, or as many as there are, that are not among the given items."""
    is_other = torch.ones(num_gallery, dtype=torch.bool, device=items.device)
    is_other[items] = False
    return is_other.nonzero().squeeze(1)[:k]


def _solve(
    transitions: AffinityGraph, alpha: float, residual: torch.Tensor, num_iterations: int, tolerance: float
) -> torch.Tensor:
    """Solve `(I - alpha S) f = residual` for each column of `residual`, by conjugate gradients.

    A solved column is not changed any more, so that the scores of a query do not depend on the other queries.

    Args:
        transitions: The normalised affinities S of `num_items` items.
        alpha: Weight of S.
        residual: `(num_items, queries)` float32, overwritten.
        num_iterations: Largest number of iterations.
        tolerance: A column is solved once the norm of its residual is at most this share of the norm at the start.

    Returns:
        f, `(num_items, queries)` float32.
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
