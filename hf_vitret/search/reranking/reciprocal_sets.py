"""The k-reciprocal neighbour sets of gallery items and queries, as sparse vectors over the gallery."""

from __future__ import annotations

from typing import NamedTuple

import torch

# Comparisons of set members at once, those of one row at least: 1.2 MB, and 5 MB of int64 to compare. With 20
# neighbours they are those of 257 rows.
_COMPARISONS = 1_250_000
# Pairs of embeddings scored at once: 16,384 pairs of 384 dimensions are 50 MB.
_PAIRS = 16_384
# Padding of a row of items.
NOTHING = -1


class SparseRows(NamedTuple):
    """Sparse vectors over the gallery, one in each row.

    Attributes:
        items: `(rows, width)` int64, the gallery rows of the entries that are not 0, ascending, padded with -1.
        weights: `(rows, width)` float32, the entries, padded with 0.
    """

    items: torch.Tensor
    weights: torch.Tensor


class ReciprocalSets:
    """Build the sets R*(p, k) of items and queries p: their reciprocal neighbours, and those of these neighbours.

    `R(p, k)` has the items among the k nearest of p that have p among their own k nearest, and p itself if it is an
    item. `R*(p, k)` adds `R(m, k / 2)` for each member m if at least two thirds of it are in `R(p, k)`. A query is in
    no item's list: it counts as "among the k nearest" of an item if its score is at least that of the item's k-th
    neighbour.

    Args:
        gallery_embeddings: `(num_gallery, dim)` float, unit norm.
        scores: `(num_gallery, k or more)` float, descending, the scores of each item's neighbours without the item.
        indices: `(num_gallery, k or more)` int64, the gallery rows of these neighbours; -1 for no neighbour.
        k: Number of neighbours that are used.

    Reference:
        Zhong et al., arXiv 1701.08398, equations 2, 3 and 5. Deviation: in the paper the queries are members of the
        sets too, so that a query's ranking depends on the other queries.
    """

    def __init__(self, gallery_embeddings: torch.Tensor, scores: torch.Tensor, indices: torch.Tensor, k: int) -> None:
        self._gallery = gallery_embeddings
        # An item with fewer than k neighbours has any query among its k nearest. The score of a padded entry cannot say
        # so: it differs between indexes.
        self._near = indices[:, :k]
        self._last_scores = scores[:, k - 1].masked_fill(indices[:, k - 1] < 0, -torch.inf)
        self._half = max(1, round(k / 2))

    def of_items(self, items: torch.Tensor) -> SparseRows:
        """Return the sets of gallery items.

        Args:
            items: `(rows,)` int64 gallery rows.

        Returns:
            One set in each row. The weight of a member m of p is `exp(-|p - m|^2)`, divided by the sum of the weights.
        """
        at_once = self._rows(self._near.shape[1])
        return stack_rows([self._of_some_items(some) for some in torch.split(items, at_once)])

    def of_queries(
        self, query_embeddings: torch.Tensor, scores: torch.Tensor, indices: torch.Tensor, k: int
    ) -> SparseRows:
        """Return the sets of queries.

        Args:
            query_embeddings: `(rows, dim)` float, unit norm.
            scores: `(rows, k or more)` float, descending, the scores of each query's neighbours.
            indices: `(rows, k or more)` int64, the gallery rows of these neighbours; -1 for no neighbour.
            k: Number of neighbours that are used.

        Returns:
            One set in each row. The weight of a member m of p is `exp(-|p - m|^2)`, divided by the sum of the weights.
        """
        found, at_once = [], self._rows(k)
        for start in range(0, len(indices), at_once):
            rows = slice(start, start + at_once)
            members = indices[rows, :k]
            is_reciprocal = scores[rows, :k] >= self._last_scores[members.clamp(min=0)]
            members = members.masked_fill(~is_reciprocal, NOTHING)
            found.append(self._expanded(query_embeddings[rows], members))
        return stack_rows(found)

    def _rows(self, k: int) -> int:
        """Return the number of rows of k neighbours that are computed at once."""
        return max(1, _COMPARISONS // ((1 + k) ** 2 * (1 + self._half)))

    def _of_some_items(self, items: torch.Tensor) -> SparseRows:
        return self._expanded(self._gallery[items], self._reciprocal(items, self._near.shape[1]))

    def _reciprocal(self, items: torch.Tensor, k: int) -> torch.Tensor:
        """Return R(p, k) of items of any shape, `(..., 1 + k)`: the item first, -1 for neighbours not in the set."""
        near = self._near[items.clamp(min=0), :k]  # (..., k)
        their_near = self._near[near.clamp(min=0), :k]  # (..., k, k)
        is_reciprocal = ((their_near == items[..., None, None]).any(dim=-1)) & (near >= 0) & (items >= 0).unsqueeze(-1)
        return torch.cat([items.unsqueeze(-1), near.masked_fill(~is_reciprocal, NOTHING)], dim=-1)

    def _expanded(self, embeddings: torch.Tensor, members: torch.Tensor) -> SparseRows:
        """Expand R, `(rows, width)` with -1 for no item, to R* with its weights."""
        halves = self._reciprocal(members, self._half)  # (rows, width, 1 + half), all -1 for no item
        is_shared = (halves.unsqueeze(-1) == members[:, None, None, :]).any(dim=-1) & (halves >= 0)
        # Two thirds, compared in integers.
        is_taken = 3 * is_shared.sum(dim=-1) >= 2 * (halves >= 0).sum(dim=-1)  # (rows, width)
        added = halves.masked_fill(~is_taken.unsqueeze(-1), NOTHING).flatten(1)
        sets = merge_rows(SparseRows(torch.cat([members, added], dim=1), torch.ones(())))
        row, column = (sets.items >= 0).nonzero().unbind(dim=1)
        weights = torch.zeros_like(sets.weights)
        for start in range(0, len(row), _PAIRS):
            rows, columns = row[start : start + _PAIRS], column[start : start + _PAIRS]
            cosine = (embeddings[rows].float() * self._gallery[sets.items[rows, columns]].float()).sum(dim=1)
            weights[rows, columns] = (2 * cosine - 2).exp()
        # In float64, so that a sum does not depend on the padding of the row.
        sums = weights.sum(dim=1, keepdim=True, dtype=torch.float64).float()
        return SparseRows(sets.items, weights / sums.clamp(min=1e-30))


def merge_rows(rows: SparseRows) -> SparseRows:
    """Sort each row by item and add up the weights of an item that occurs several times in it.

    Args:
        rows: Items in any order, -1 for no item, and weights that are broadcast to their shape.

    Returns:
        The rows with ascending, distinct items, as wide as the row with the most items.

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
    columns = is_first.cumsum(dim=1) - 1  # of each entry in the merged row
    width = max(int((columns + 1).masked_fill(items == last, 0).max()), 1) if items.numel() else 1
    merged = torch.full((len(items), width + 1), NOTHING, dtype=torch.int64, device=items.device)
    summed = torch.zeros(len(items), width + 1, device=items.device)
    columns = columns.masked_fill(items == last, width)  # a further column for "no item", which is cut off
    merged.scatter_(1, columns, items)
    summed.scatter_add_(1, columns, weights)
    return SparseRows(merged[:, :width], summed[:, :width])


def stack_rows(parts: list[SparseRows]) -> SparseRows:
    """Concatenate parts with different widths, padded to the largest width."""
    width = max(part.items.shape[1] for part in parts)
    pad = torch.nn.functional.pad
    return SparseRows(
        torch.cat([pad(part.items, (0, width - part.items.shape[1]), value=NOTHING) for part in parts]),
        torch.cat([pad(part.weights, (0, width - part.weights.shape[1])) for part in parts]),
    )
