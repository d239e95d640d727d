"""The sparse graph of a gallery's mutual neighbours: built, walked and cut out in bounded memory."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F

# Pairs of a list's entry and an entry of its neighbour's list compared at once: 32 MB of int64.
_COMPARISONS = 4_000_000
# Items whose edges are followed at once: with 50 neighbours each 800,000 edges, some 7 MB an intermediate.
_ITEMS = 16_384


class AffinityGraph(NamedTuple):
    """A symmetric sparse matrix, row by row: 12 bytes an edge.

    Attributes:
        offsets: `(num_items + 1,)` int64, where each row's edges begin.
        columns: `(num_edges,)` int64.
        weights: `(num_edges,)` float32.
    """

    offsets: torch.Tensor
    columns: torch.Tensor
    weights: torch.Tensor

    def times(self, vectors: torch.Tensor) -> torch.Tensor:
        """Multiply with `(num_items, any)` float32 vectors, without an intermediate of an edge's length."""
        # Sums of weighted rows, row by row on all threads; torch's products of sparse tensors use one, or warn.
        return F.embedding_bag(
            self.columns,
            vectors,
            self.offsets,
            mode="sum",
            per_sample_weights=self.weights,
            include_last_offset=True,
        )

    def normalized(self) -> AffinityGraph:
        """Divide by the square roots of the sums of row and column."""
        ones = torch.ones(len(self.offsets) - 1, 1, device=self.weights.device)
        sums = self.times(ones).squeeze(1)
        scale = torch.where(sums > 0, sums.rsqrt(), 0.0)
        rows = torch.repeat_interleave(scale, self.offsets.diff())
        return self._replace(weights=rows.mul_(self.weights).mul_(scale[self.columns]))

    def reached(self, seeds: torch.Tensor, num_steps: int) -> torch.Tensor:
        """Return the items that a walk of some steps from the seeds, int64, can reach: ascending int64, seeds too."""
        is_reached = torch.zeros(len(self.offsets) - 1, dtype=torch.bool, device=seeds.device)
        is_reached[seeds] = True
        frontier = is_reached.nonzero().squeeze(1)
        for _ in range(num_steps):
            before = is_reached.clone()
            for items in torch.split(frontier, _ITEMS):
                is_reached[self.columns[self._edges(items)]] = True
            frontier = (is_reached & ~before).nonzero().squeeze(1)
            if not len(frontier):
                break
        return is_reached.nonzero().squeeze(1)

    def among(self, items: torch.Tensor) -> AffinityGraph:
        """Cut out the rows and columns of some items, ascending int64; they are numbered anew."""
        if len(items) == len(self.offsets) - 1:
            return self
        new_rows = torch.full((len(self.offsets) - 1,), -1, dtype=torch.int64, device=items.device)
        new_rows[items] = torch.arange(len(items), device=items.device)
        counts, columns, weights = [], [], []
        for some in torch.split(items, _ITEMS):
            edges = self._edges(some)
            column = new_rows[self.columns[edges]]
            is_inside = column >= 0
            row = torch.repeat_interleave(self.offsets[some + 1] - self.offsets[some])
            counts.append(row[is_inside].bincount(minlength=len(some)))
            columns.append(column[is_inside])
            weights.append(self.weights[edges[is_inside]])
        return AffinityGraph(_offsets(torch.cat(counts)), torch.cat(columns), torch.cat(weights))

    def _edges(self, items: torch.Tensor) -> torch.Tensor:
        """Return the places of all edges of some items, `(num_edges_of_theirs,)` int64, item by item."""
        starts = self.offsets[items]
        counts = self.offsets[items + 1] - starts
        shifts = starts - (counts.cumsum(dim=0) - counts)
        places: torch.Tensor = torch.repeat_interleave(shifts, counts)
        return places + torch.arange(len(places), device=items.device)


def mutual_graph(scores: torch.Tensor, indices: torch.Tensor, gamma: float) -> AffinityGraph:
    """Join items that are each other's neighbours, by the mean of their two scores to a power.

    Args:
        scores: `(num_items, k)` float; what is not above 0 joins nothing.
        indices: `(num_items, k)` int64, distinct within a row; -1 for none, and an item itself is left out.
        gamma: The power.

    Returns:
        The graph of all items.
    """
    num_items, width = indices.shape
    counts = torch.zeros(num_items, dtype=torch.int64, device=indices.device)
    # Room for all; what is not written to takes no memory of a CPU's, where parts put together would take it twice.
    columns, weights, num_edges = (
        indices.new_empty(indices.numel()),
        scores.new_empty(indices.numel(), dtype=torch.float32),
        0,
    )
    for rows in torch.split(torch.arange(num_items, device=indices.device), max(1, _COMPARISONS // max(width, 1) ** 2)):
        near = indices[rows]  # (rows, k)
        is_edge = (near >= 0) & (scores[rows] > 0) & (near != rows.unsqueeze(1))
        theirs = indices[near.clamp(min=0)]  # (rows, k, k)
        is_twin = (theirs == rows[:, None, None]).logical_and_(is_edge.unsqueeze(2))
        row, place, twin = is_twin.nonzero().unbind(dim=1)  # (num_edges,) each
        column = near[row, place]
        # The two scores of a pair may differ in their last digits.
        one, other = scores[rows[row], place].float(), scores[column, twin].float()
        is_mutual = other > 0
        edges = slice(num_edges, num_edges + int(is_mutual.sum()))
        weights[edges] = ((one.pow(gamma) + other.clamp(min=0).pow(gamma)) / 2)[is_mutual]
        columns[edges] = column[is_mutual]
        num_edges = edges.stop
        counts[rows] = row[is_mutual].bincount(minlength=len(rows))
    return AffinityGraph(_offsets(counts), columns[:num_edges], weights[:num_edges])


def _offsets(counts: torch.Tensor) -> torch.Tensor:
    return F.pad(counts.cumsum(dim=0), (1, 0))
