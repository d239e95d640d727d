"""The sparse graph of mutual neighbours in a gallery: construction, products, reachable items and subgraphs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch.nn import functional as F

# Comparisons at once, of an item with each entry in the lists of its neighbours: 32 MB of int64.
_COMPARISONS = 4_000_000
# Items whose edges are read at once: with 50 neighbours each 800,000 edges, about 7 MB for each intermediate.
_ITEMS = 16_384


class AffinityGraph(NamedTuple):
    """A symmetric sparse matrix in compressed rows, 12 bytes for each edge.

    Attributes:
        offsets: `(num_items + 1,)` int64, the position of each row's first edge, and the number of edges.
        columns: `(num_edges,)` int64, the column of each edge.
        weights: `(num_edges,)` float32, the weight of each edge.
    """

    offsets: torch.Tensor
    columns: torch.Tensor
    weights: torch.Tensor

    def times(self, vectors: torch.Tensor) -> torch.Tensor:
        """Multiply the matrix with vectors, the columns of `(num_items, any)` float32, without a copy for each edge."""
        # Sums of weighted rows, computed on all threads. torch's products of sparse tensors use one thread, or warn.
        return F.embedding_bag(
            self.columns,
            vectors,
            self.offsets,
            mode="sum",
            per_sample_weights=self.weights,
            include_last_offset=True,
        )

    def normalized(self) -> AffinityGraph:
        """Return the graph with each weight divided by the square roots of the sums of its row and of its column."""
        ones = torch.ones(len(self.offsets) - 1, 1, device=self.weights.device)
        sums = self.times(ones).squeeze(1)
        scale = torch.where(sums > 0, sums.rsqrt(), 0.0)
        rows = torch.repeat_interleave(scale, self.offsets.diff())
        return self._replace(weights=rows.mul_(self.weights).mul_(scale[self.columns]))

    def reached(self, seeds: torch.Tensor, num_steps: int) -> torch.Tensor:
        """Return the items that at most `num_steps` edges lead to from the seeds.

        Args:
            seeds: `(any,)` int64 items.
            num_steps: Number of edges.

        Returns:
            `(num_reached,)` int64 items, ascending, with the seeds among them.
        """
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
        """Return the subgraph of some items, `(any,)` int64, ascending; its items are numbered from 0 in that order."""
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
        """Return the positions of all edges of some items, `(num_edges,)` int64, item by item."""
        starts = self.offsets[items]
        counts = self.offsets[items + 1] - starts
        shifts = starts - (counts.cumsum(dim=0) - counts)
        edges: torch.Tensor = torch.repeat_interleave(shifts, counts)
        return edges + torch.arange(len(edges), device=items.device)


def mutual_graph(scores: torch.Tensor, indices: torch.Tensor, gamma: float) -> AffinityGraph:
    """Build the graph of mutual neighbours: items in each other's lists, joined by the mean of their scores to a power.

    Args:
        scores: `(num_items, k)` float scores of each item's neighbours. Scores of 0 or less make no edge.
        indices: `(num_items, k)` int64 items, distinct within a row; -1 for no neighbour. An item in its own list makes
            no edge.
        gamma: Power of the scores.

    Returns:
        The graph of all items.
    """
    num_items, width = indices.shape
    counts = torch.zeros(num_items, dtype=torch.int64, device=indices.device)
    # Buffers for the largest possible number of edges. On a CPU, memory that is not written to is not used, whereas a
    # concatenation of parts would need twice the memory.
    columns, weights, num_edges = (
        indices.new_empty(indices.numel()),
        scores.new_empty(indices.numel(), dtype=torch.float32),
        0,
    )
    for rows in torch.split(torch.arange(num_items, device=indices.device), max(1, _COMPARISONS // max(width, 1) ** 2)):
        near = indices[rows]  # (rows, k)
        is_edge = (near >= 0) & (scores[rows] > 0) & (near != rows.unsqueeze(1))
        their_neighbors = indices[near.clamp(min=0)]  # (rows, k, k)
        is_mutual = (their_neighbors == rows[:, None, None]).logical_and_(is_edge.unsqueeze(2))
        row, rank, other_rank = is_mutual.nonzero().unbind(dim=1)  # (num_pairs,) each: in one list and in the other
        column = near[row, rank]
        # The two scores of a pair may differ in their last digits.
        score, other_score = scores[rows[row], rank].float(), scores[column, other_rank].float()
        is_joined = other_score > 0
        edges = slice(num_edges, num_edges + int(is_joined.sum()))
        weights[edges] = ((score.pow(gamma) + other_score.clamp(min=0).pow(gamma)) / 2)[is_joined]
        columns[edges] = column[is_joined]
        num_edges = edges.stop
        counts[rows] = row[is_joined].bincount(minlength=len(rows))
    return AffinityGraph(_offsets(counts), columns[:num_edges], weights[:num_edges])


def _offsets(counts: torch.Tensor) -> torch.Tensor:
    return F.pad(counts.cumsum(dim=0), (1, 0))
