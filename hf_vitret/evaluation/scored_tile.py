"""A tile of scores, read by its queries whether they lie along its rows or its columns."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hf_vitret.evaluation.exact_scores import ExactScores


@dataclass(frozen=True)
class ScoredTile:
    """Scores of a block of queries with some items.

    Attributes:
        scores: Float32 matrix, its second dimension a multiple of 8 and -inf wherever an item does not count. Along
            `query_dim` lie the queries (padded to a multiple of 8 if that is dimension 1).
        hits: Bool buffer of the same shape, contiguous, overwritten by each comparison.
        query_dim: 0 where the queries are rows, 1 where they are columns.
        exact: The exact scores, the queries as queries.
        margins: `(num_queries,)` float32, how far a score may be from the exact one.
    """

    scores: torch.Tensor
    hits: torch.Tensor
    query_dim: int
    exact: ExactScores
    margins: torch.Tensor

    @property
    def num_items(self) -> int:
        """Items, with the padding."""
        return self.scores.shape[1 - self.query_dim]

    def count_at_least(self, thresholds: torch.Tensor) -> torch.Tensor:
        """Count for each query the scores at or above its threshold, and leave in `hits` which they are.

        Args:
            thresholds: `(num_queries,)` float32.

        Returns:
            `(num_queries,)` int64.
        """
        torch.ge(self.scores, self._along_queries(thresholds), out=self.hits)
        return count_true(self.hits, 1 - self.query_dim)[: len(thresholds)]

    def hits_below(self, thresholds: torch.Tensor) -> torch.Tensor:
        """Return which of the scores in `hits` are below another, higher threshold, of the tile's shape, bool."""
        return torch.ge(self.scores, self._along_queries(thresholds)).logical_xor_(self.hits)

    def _along_queries(self, thresholds: torch.Tensor) -> torch.Tensor:
        missing = self.scores.shape[self.query_dim] - len(thresholds)
        if missing:  # nothing passes the padding
            thresholds = torch.nn.functional.pad(thresholds, (0, missing), value=torch.inf)
        return thresholds.unsqueeze(1 - self.query_dim)

    def of_queries(self, rows: torch.Tensor) -> torch.Tensor:
        """Return all scores of some queries, `(num_rows,)` int64: `(num_rows, num_items)` float32."""
        some = self.scores.index_select(self.query_dim, rows)
        return some.T if self.query_dim == 1 else some

    def picked(self, rows: torch.Tensor, found: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the scores of some queries that `hits` shows, of each as many as `found` says.

        Returns:
            `(num_rows, found.max())` float32, -inf filled, and their items, int64.
        """
        hits = self.hits.index_select(self.query_dim, rows)
        query, item = (hits.T if self.query_dim == 1 else hits).nonzero().unbind(dim=1)  # (num_hits,) each
        pairs = (rows[query], item) if self.query_dim == 0 else (item, rows[query])
        place = torch.arange(len(query), device=query.device) - (found.cumsum(dim=0) - found)[query]
        picked = torch.full((len(rows), int(found.max())), -torch.inf, device=self.scores.device)
        items = torch.zeros_like(picked, dtype=torch.int64)
        picked[query, place], items[query, place] = self.scores[pairs], item
        return picked, items

    def selected(self, rows: torch.Tensor, num_best: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the best scores of some queries, `(num_rows, num_best)` float32, and their items, int64."""
        best, items = self.of_queries(rows).topk(num_best, dim=1)
        return best, items


def count_true(mask: torch.Tensor, dim: int) -> torch.Tensor:
    """Count the true entries of a mask along one dimension, eight at a time.

    Eight neighbouring booleans are read as one int64 whose bytes are added side by side: 255 words fit before
    a byte overflows. On a CPU this takes a tenth of the time of `mask.sum(dim)`.

    Args:
        mask: `(rows, columns)` bool, contiguous, columns a multiple of 8.
        dim: The dimension to count along.

    Returns:
        `(columns,)` int64 for dim 0, `(rows,)` for dim 1.

    Example:
        >>> count_true(torch.tensor([[True, False, True, False, False, False, False, True]]), dim=1)
        tensor([3])
    """
    words = mask.view(torch.int64)  # (rows, columns / 8)
    length = words.shape[dim]
    # Equal groups of at most 255 words, so that one sum makes them all.
    num_groups = next(n for n in range(-(-length // 255), length + 1) if length % n == 0)
    shape = (num_groups, -1, words.shape[1]) if dim == 0 else (words.shape[0], num_groups, -1)
    lanes = words.reshape(shape).sum(dim + 1)  # (groups, columns / 8) or (rows, groups)
    return lanes.view(torch.uint8).sum(dim)


def true_places(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the true entries of a mask of which few are, eight at a time as in `count_true`.

    Args:
        mask: `(rows, columns)` bool, contiguous, columns a multiple of 8.

    Returns:
        Their rows and their columns, `(num_true,)` int64 each, in order.

    Example:
        >>> true_places(torch.tensor([[False] * 8, [False, True, False, False, False, False, False, True]]))
        (tensor([1, 1]), tensor([1, 7]))
    """
    row, word = mask.view(torch.int64).nonzero().unbind(dim=1)  # (num_words,) each
    hit, byte = mask.view(len(mask), -1, 8)[row, word].nonzero().unbind(dim=1)  # (num_true,) each
    return row[hit], word[hit] * 8 + byte
