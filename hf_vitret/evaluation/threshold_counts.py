"""Counts of the wrong items above each positive of a block of queries, tile by tile."""

from __future__ import annotations

import torch

# Three ways to count what passes, by their cost on two cores with AVX-512: comparing a tile with one more
# threshold takes 0.3 ns a score, picking a score out and sorting it in 50 ns, selecting the best of a row 8
# ns a score.
_COMPARE_COST, _PICK_COST, _SELECT_COST = 0.3, 50.0, 8.0


class ThresholdCounts:
    """Counts, for every query of a block, the scores at or above each of its thresholds.

    Thresholds that can no longer matter are dropped while counting: a query's first is counted to the end, a
    later one until it is certain that its positive ranks at or beyond the query's limit. Each tile is
    compared with the lowest threshold left, so what passes is little: almost nothing for a trained model, and
    for an untrained one the first tiles drop all but the first threshold.

    Args:
        thresholds: `(num_queries, width)` float32, descending along a row; -inf fills rows that are shorter.
            Taken over: the row of a query without any is changed.
        num_thresholds: `(num_queries,)` int64, how many of the row are real. May be 0.
        limits: `(num_queries,)` int64: threshold j is dropped once j + its count reaches the limit.

    Attributes:
        above: `(num_queries, width)` int64 counts so far: exact for j <= `level`, without meaning beyond.
        level: `(num_queries,)` int64, the last threshold still counted.
        num_thresholds: As given.
    """

    def __init__(self, thresholds: torch.Tensor, num_thresholds: torch.Tensor, limits: torch.Tensor) -> None:
        num_queries, width = thresholds.shape
        self.above = torch.zeros(num_queries, width, dtype=torch.int64, device=thresholds.device)
        self.num_thresholds = num_thresholds
        self.level = (num_thresholds - 1).clamp(min=0)
        self._thresholds = thresholds
        self._thresholds[:, 0].masked_fill_(num_thresholds == 0, torch.inf)
        self._limits = limits
        self._columns = torch.arange(width, device=thresholds.device)
        # Rounded up to whole words of 8 booleans; nothing passes the padding.
        self._cut = torch.full((num_queries + -num_queries % 8,), torch.inf, device=thresholds.device)
        self._set_cut()

    def _set_cut(self) -> None:
        self._cut[: len(self.level)] = self._thresholds.gather(1, self.level.unsqueeze(1)).squeeze(1)
        self._is_open = self.level > 0
        self._num_passes = int(self.level.max()) + 1

    def add(self, scores: torch.Tensor, hits: torch.Tensor, query_dim: int) -> None:
        """Count one tile.

        Args:
            scores: Float32 tile, its second dimension a multiple of 8 and -inf wherever an item does not
                count. Along `query_dim` lie the block's queries (padded to a multiple of 8 if that is
                dimension 1).
            hits: Bool buffer of the same shape, contiguous.
            query_dim: 0 where the queries are rows, 1 where they are columns.
        """
        item_dim = 1 - query_dim
        num_queries = len(self.level)
        cut = self._cut if query_dim == 1 else self._cut[:num_queries]
        torch.ge(scores, cut.unsqueeze(item_dim), out=hits)
        found = count_true(hits, item_dim)[:num_queries]
        if self._num_passes == 1:
            self.above[:, 0] += found
            return
        self.above[:, 0] += found.masked_fill(self._is_open, 0)
        rows = (self._is_open & (found > 0)).nonzero().squeeze(1)
        if len(rows) == 0:
            return
        found = found[rows]
        width, num_hits, num_items = self._num_passes, int(found.sum()), scores.shape[item_dim]
        pick_or_select = min(num_hits * _PICK_COST, len(rows) * num_items * _SELECT_COST)
        if width * scores.numel() * _COMPARE_COST < pick_or_select:
            self._compare_all(scores, hits, query_dim)
        else:
            if num_hits * _PICK_COST == pick_or_select:
                passed = _picked(scores, hits, query_dim, rows, found)
            else:
                passed = _selected(scores, query_dim, rows, int(found.max()))
            # The scores at or above a threshold are those right of its place: (rows, width)
            places = torch.searchsorted(passed, self._thresholds[rows, :width])
            self.above[rows, :width] += passed.shape[1] - places
        is_alive = self.above[rows, :width] + self._columns[:width] < self._limits[rows, None]
        self.level[rows] = torch.minimum((is_alive.sum(dim=1) - 1).clamp(min=0), self.level[rows])
        self._set_cut()

    def _compare_all(self, scores: torch.Tensor, hits: torch.Tensor, query_dim: int) -> None:
        """Compare the whole tile with one threshold of every query after another."""
        num_queries, item_dim = len(self.level), 1 - query_dim
        for column in range(self._num_passes):
            is_counted = self._is_open & (self.level >= column)
            threshold = torch.full_like(self._cut, torch.inf)
            threshold[:num_queries] = self._thresholds[:, column]
            threshold = threshold if query_dim == 1 else threshold[:num_queries]
            torch.ge(scores, threshold.unsqueeze(item_dim), out=hits)
            self.above[:, column] += count_true(hits, item_dim)[:num_queries].masked_fill(~is_counted, 0)


def _picked(
    scores: torch.Tensor, hits: torch.Tensor, query_dim: int, rows: torch.Tensor, found: torch.Tensor
) -> torch.Tensor:
    """Return the scores that passed for some queries, `(rows, found.max())`, ascending, -inf filled."""
    passed = hits.index_select(query_dim, rows)
    query, item = (passed.T if query_dim == 1 else passed).nonzero().unbind(dim=1)  # (num_hits,) each
    values = scores[rows[query], item] if query_dim == 0 else scores[item, rows[query]]
    place = torch.arange(len(query), device=query.device) - (found.cumsum(dim=0) - found)[query]
    picked = torch.full((len(rows), int(found.max())), -torch.inf, device=scores.device)
    picked[query, place] = values
    return picked.sort(dim=1).values


def _selected(scores: torch.Tensor, query_dim: int, rows: torch.Tensor, num_best: int) -> torch.Tensor:
    """Return the best scores of some queries, `(rows, num_best)`, ascending."""
    some = scores.index_select(query_dim, rows)
    return (some.T if query_dim == 1 else some).topk(num_best, dim=1).values.flip(1)


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
