"""k-reciprocal neighbour sets of gallery items and queries, as sparse vectors over the gallery."""

from __future__ import annotations

from typing import NamedTuple

import torch

# Comparisons of members made at once, those of one row at least: 1.2 MB, and 5 MB of int64 to compare. With 20
# neighbours they are those of 257 rows.
_COMPARISONS = 1_250_000
# Pairs of rows scored at once: 16,384 pairs of 384 dimensions are 50 MB.
_PAIRS = 16_384
NOTHING = -1


class SparseRows(NamedTuple):
    """Vectors over the gallery, most of whose entries are 0.

    Attributes:
        items: `(rows, width)` int64 gallery rows, ascending, -1 where a row has no more.
        weights: `(rows, width)` float32, 0 there.
    """

    items: torch.Tensor
    weights: torch.Tensor


class ReciprocalSets:
    """The sets R*(p, k) of items and queries: neighbours that see p among their own neighbours, and theirs.

    `R(p, k)` holds the items among the k nearest of p that have p among their own k nearest; an item is its own
    neighbour besides. `R*(p, k)` adds `R(m, k / 2)` for each member m that shares two thirds of that with `R(p, k)`. A
    query is nobody's neighbour: an item has it "among its k nearest" where it scores as high as the last of these.

    Args:
        gallery_embeddings: `(num_gallery, dim)` float, unit norm.
        scores: `(num_gallery, >= k)` float of each item's neighbours, itself left out.
        indices: The same of int64, their gallery rows.
        k: Neighbours looked at.

    Reference:
        Zhong et al., arXiv 1701.08398, equations 2, 3 and 5. There the queries are members of the sets too: a query's
        ranking would change with the other queries.
    """

    def __init__(self, gallery_embeddings: torch.Tensor, scores: torch.Tensor, indices: torch.Tensor, k: int) -> None:
        self._gallery = gallery_embeddings
        # Indexes fill up short lists with scores of their own choice; whoever comes is nearer than nobody.
        self._near = indices[:, :k]
        self._last_scores = scores[:, k - 1].masked_fill(indices[:, k - 1] < 0, -torch.inf)
        self._half = max(1, round(k / 2))

    def of_items(self, items: torch.Tensor) -> SparseRows:
        """Return the sets of gallery items, `(rows,)` int64, a member m of p weighing `exp(-|p - m|^2)` of the sum."""
        at_once = self._rows(self._near.shape[1])
        return stack_rows([self._of_some_items(some) for some in torch.split(items, at_once)])

    def of_queries(
        self, query_embeddings: torch.Tensor, scores: torch.Tensor, indices: torch.Tensor, k: int
    ) -> SparseRows:
        """Return the sets of queries from their neighbours, `(rows, >= k)` each; as for items."""
        found, at_once = [], self._rows(k)
        for start in range(0, len(indices), at_once):
            rows = slice(start, start + at_once)
            members = indices[rows, :k]
            sees_back = scores[rows, :k] >= self._last_scores[members.clamp(min=0)]
            members = members.masked_fill(~sees_back, NOTHING)
            found.append(self._expanded(query_embeddings[rows], members))
        return stack_rows(found)

    def _rows(self, k: int) -> int:
        """Return how many rows of k neighbours are worked on at once."""
        return max(1, _COMPARISONS // ((1 + k) ** 2 * (1 + self._half)))

    def _of_some_items(self, items: torch.Tensor) -> SparseRows:
        return self._expanded(self._gallery[items], self._reciprocal(items, self._near.shape[1]))

    def _reciprocal(self, items: torch.Tensor, k: int) -> torch.Tensor:
        """Return R(p, k) of items of any shape: `(..., 1 + k)`, the item first, -1 for neighbours not in it."""
        near = self._near[items.clamp(min=0), :k]  # (..., k)
        theirs = self._near[near.clamp(min=0), :k]  # (..., k, k)
        sees_back = ((theirs == items[..., None, None]).any(dim=-1)) & (near >= 0) & (items >= 0).unsqueeze(-1)
        return torch.cat([items.unsqueeze(-1), near.masked_fill(~sees_back, NOTHING)], dim=-1)

    def _expanded(self, embeddings: torch.Tensor, members: torch.Tensor) -> SparseRows:
        """Turn R, `(rows, width)` with gaps, into R* with its weights."""
        halves = self._reciprocal(members, self._half)  # (rows, width, 1 + half), a gap's all -1
        is_shared = (halves.unsqueeze(-1) == members[:, None, None, :]).any(dim=-1) & (halves >= 0)
        # Two thirds in whole numbers.
        is_taken = 3 * is_shared.sum(dim=-1) >= 2 * (halves >= 0).sum(dim=-1)  # (rows, width)
        added = halves.masked_fill(~is_taken.unsqueeze(-1), NOTHING).flatten(1)
        sets = merge_rows(SparseRows(torch.cat([members, added], dim=1), torch.ones(())))
        row, place = (sets.items >= 0).nonzero().unbind(dim=1)
        weights = torch.zeros_like(sets.weights)
        for start in range(0, len(row), _PAIRS):
            rows, places = row[start : start + _PAIRS], place[start : start + _PAIRS]
            cosine = (embeddings[rows].float() * self._gallery[sets.items[rows, places]].float()).sum(dim=1)
            weights[rows, places] = (2 * cosine - 2).exp()
        # In float64, so that a sum does not depend on how far the row is filled up.
        sums = weights.sum(dim=1, keepdim=True, dtype=torch.float64).float()
        return SparseRows(sets.items, weights / sums.clamp(min=1e-30))


def merge_rows(rows: SparseRows) -> SparseRows:
    """Sort each row by item and add up the weights of an item that occurs several times.

    Example:
        >>> rows = SparseRows(torch.tensor([[5, 2, -1, 5]]), torch.tensor([[0.25, 0.5, 0.0, 0.25]]))
        >>> merge_rows(rows)
        SparseRows(items=tensor([[2, 5]]), weights=tensor([[0.5000, 0.5000]]))
    """
    last = torch.iinfo(torch.int64).max
    items, order = rows.items.masked_fill(rows.items < 0, last).sort(dim=1, stable=True)
    weights = rows.weights.expand(rows.items.shape).gather(1, order).masked_fill(items == last, 0.0)
    is_first = torch.ones_like(items, dtype=torch.bool)
    is_first[:, 1:] = items[:, 1:] != items[:, :-1]
    places = is_first.cumsum(dim=1) - 1  # of each entry in the merged row
    width = max(int((places + 1).masked_fill(items == last, 0).max()), 1) if items.numel() else 1
    merged = torch.full((len(items), width + 1), NOTHING, dtype=torch.int64, device=items.device)
    summed = torch.zeros(len(items), width + 1, device=items.device)
    places = places.masked_fill(items == last, width)  # the gaps fall into a column that is cut off
    merged.scatter_(1, places, items)
    summed.scatter_add_(1, places, weights)
    return SparseRows(merged[:, :width], summed[:, :width])


def stack_rows(parts: list[SparseRows]) -> SparseRows:
    """Put rows below one another, filled up to one width."""
    width = max(part.items.shape[1] for part in parts)
    pad = torch.nn.functional.pad
    return SparseRows(
        torch.cat([pad(part.items, (0, width - part.items.shape[1]), value=NOTHING) for part in parts]),
        torch.cat([pad(part.weights, (0, width - part.weights.shape[1])) for part in parts]),
    )
