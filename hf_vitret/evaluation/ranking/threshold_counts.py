"""Counts of the wrong items above each positive of a block of queries, tile by tile."""

from __future__ import annotations

from typing import ClassVar

import torch

from hf_vitret.evaluation.ranking.scored_tile import ScoredTile

# Up to this share of its queries, a tile's part of them is cut out before it is looked at closely.
FEW = 0.25
# Three ways to count what passes, by their cost on two cores with AVX-512: comparing a tile with one more
# threshold takes 0.25 ns a score, and each is compared twice; picking a score out and sorting it in 50 ns, selecting
# the best of a row 8 ns a score.
_COMPARE_COST, _PICK_COST, _SELECT_COST = 0.25, 100.0, 20.0
# Of the scores of some queries, the share that may be too close to call: from there on, all of them in float64 cost
# less than each for itself (20 ns and 1,000 ns a score).
_MAX_DOUBTFUL = 0.02

ALL = slice(None)
Rows = torch.Tensor | slice
"""Queries of a block: `(num_rows,)` int64, or all."""


class ThresholdCounts:
    """Counts, for every query of a block, the scores at or above each of its thresholds.

    Thresholds that can no longer matter are dropped while counting: a query's first once it has a count of its own
    limit, a later one once it is certain that its positive ranks at or beyond the query's limit. Of each tile only the
    queries are looked at whose best score reaches the lowest threshold left: almost none for a trained model, and for
    an untrained one the first tiles drop all but the first threshold.

    A score closer to a threshold than the tile's rounding error is replaced by the exact one. The counts are
    therefore the same whatever the tiles.

    Args:
        thresholds: `(num_queries, width)` float32, descending along a row; -inf fills rows that are shorter.
        num_thresholds: `(num_queries,)` int64, how many of the row are real. May be 0.
        limits: `(num_queries,)` int64: threshold j > 0 is dropped once j + its count reaches the limit.
        first_limits: `(num_queries,)` int64, at least `limits`: the first one is dropped once its count reaches it.

    Attributes:
        above: `(num_queries, width)` int64 counts so far: exact for j <= `level`, without meaning beyond.
        level: `(num_queries,)` int64, the last threshold still counted; -1: none.
        lowest: `(num_queries,)` float32, that threshold: what a score must reach to be counted; infinity: none.
    """

    # What one process has dropped is nobody's to tell: the lowest level of all is known.
    TALLIES: ClassVar = (("above", True), ("level", False))
    """What several processes tell each other, and whether it is added (or else the least counts)."""

    def __init__(
        self,
        thresholds: torch.Tensor,
        num_thresholds: torch.Tensor,
        limits: torch.Tensor,
        first_limits: torch.Tensor,
    ) -> None:
        num_queries, width = thresholds.shape
        self.above = torch.zeros(num_queries, width, dtype=torch.int64, device=thresholds.device)
        self._thresholds = thresholds
        self._limits, self._first_limits = limits, first_limits
        self._columns = torch.arange(width, device=thresholds.device)
        self.level = num_thresholds - 1
        self.lowest = torch.full((num_queries,), torch.inf, device=thresholds.device)
        self._drop(ALL)

    def _drop(self, rows: Rows) -> None:
        """Drop the thresholds of the queries `rows` that no longer matter."""
        level, limits = self.level[rows].unsqueeze(1), self._limits[rows].unsqueeze(1)
        columns = self._columns[: int(level.max()) + 1]
        above = self.above[rows, : len(columns)]  # (num_rows, open)
        is_alive = above + columns < limits
        is_alive[:, :1] = above[:, :1] < self._first_limits[rows].unsqueeze(1)
        is_alive &= columns <= level
        self._keep(rows, is_alive.sum(dim=1) - 1)

    def _keep(self, rows: Rows, level: torch.Tensor) -> None:
        """Keep the thresholds up to `level`, `(num_rows,)` int64, of the queries `rows`."""
        self.level[rows] = level
        lowest = self._thresholds[rows].gather(1, level.clamp(min=0).unsqueeze(1)).squeeze(1)
        self.lowest[rows] = lowest.masked_fill_(level < 0, torch.inf)

    def join(self, above: torch.Tensor, level: torch.Tensor) -> None:
        """Go on with other counts, `(num_queries * width,)` int64, and with at most the thresholds up to `level`."""
        self.above = above.view_as(self.above)
        self._keep(ALL, level)

    def clear(self) -> None:
        """Count from zero, for the thresholds that are not dropped."""
        self.above = torch.zeros_like(self.above)

    def add(self, tile: ScoredTile) -> None:
        """Count one tile of scores of the block's queries."""
        rows = (tile.best() >= self.lowest - tile.margins).nonzero().squeeze(1)
        if len(rows) <= FEW * len(self.level):
            self.add_to(rows, tile.of_queries(rows))
        else:
            self.add_to(ALL, tile)

    def add_to(self, rows: Rows, tile: ScoredTile) -> None:
        """Count one tile of scores of the queries `rows`: a tile of theirs alone, which may be none."""
        level = self.level[rows]
        if not len(level):
            return
        is_open, is_last = level > 0, level == 0
        if is_last.any():  # one comparison counts for all the queries that are down to one threshold
            self._compare(0, rows, is_last, tile)
        some = is_open.nonzero().squeeze(1)
        if len(some):
            self._add_open(some if isinstance(rows, slice) else rows[some], tile.of_queries(some))
        self._drop(rows)

    def _add_open(self, rows: torch.Tensor, tile: ScoredTile) -> None:
        """Count for the queries `rows`, whose tile it is, in the cheapest of three ways."""
        width = int(self.level[rows].max()) + 1
        lowest = self.lowest[rows] - tile.margins
        found = tile.count_at_least(lowest)
        compare = 2 * width * tile.scores.numel() * _COMPARE_COST
        pick, select = int(found.sum()) * _PICK_COST, tile.scores.numel() * _SELECT_COST
        if compare < min(pick, select):
            for column in range(width):
                self._compare(column, rows, self.level[rows] >= column, tile)
            return
        if pick <= select:
            passed, items = tile.picked(lowest)
        else:
            passed, items = tile.scores.topk(int(found.max()), dim=1)
        thresholds = self._thresholds[rows, :width]
        self._settle(passed, items, thresholds.flip(1), tile)
        passed = passed.sort(dim=1).values
        # The scores at or above a threshold are those right of its place: (rows, width)
        self.above[rows, :width] += passed.shape[1] - torch.searchsorted(passed, thresholds)

    def _compare(self, column: int, rows: Rows, is_counted: torch.Tensor, tile: ScoredTile) -> None:
        """Count with one threshold of some queries.

        Args:
            column: Which threshold.
            rows: The queries whose tile it is.
            is_counted: `(num_rows,)` bool, which of them.
            tile: The scores.
        """
        thresholds = self._thresholds[rows, column].masked_fill(~is_counted, torch.inf)
        certain, possible = (tile.count_at_least(thresholds + side * tile.margins) for side in (1, -1))
        self.above[rows, column] += certain
        doubtful = (certain < possible).nonzero().squeeze(1)
        if not len(doubtful):
            return
        some, thresholds = tile.of_queries(doubtful), thresholds[doubtful, None]
        margins = some.margins[:, None]
        is_doubtful = (some.scores >= thresholds - margins) & (some.scores < thresholds + margins)
        query, item = is_doubtful.nonzero().unbind(dim=1)  # (num_pairs,) each
        if len(query) > _MAX_DOUBTFUL * is_doubtful.numel():
            above = (is_doubtful & (some.exact.of_rows() >= thresholds)).sum(dim=1)
        else:
            above = query[some.exact.of_pairs(query, item) >= thresholds[query, 0]].bincount(minlength=len(doubtful))
        self.above[doubtful if isinstance(rows, slice) else rows[doubtful], column] += above

    def _settle(self, passed: torch.Tensor, items: torch.Tensor, thresholds: torch.Tensor, tile: ScoredTile) -> None:
        """Replace the scores that are too close to a threshold by the exact ones.

        Args:
            passed: `(num_rows, num_best)` float32 scores of the tile's queries, changed in place; -inf fills.
            items: `(num_rows, num_best)` int64, whose scores they are.
            thresholds: `(num_rows, width)` float32, ascending along a row.
            tile: Where they are from.
        """
        margins = tile.margins[:, None]
        num_below = torch.searchsorted(thresholds, passed - margins)
        num_not_above = torch.searchsorted(thresholds, passed + margins, right=True)
        is_doubtful = (num_below < num_not_above) & (passed > -torch.inf)
        query, place = is_doubtful.nonzero().unbind(dim=1)
        item = items[query, place]
        if len(query) > _MAX_DOUBTFUL * tile.scores.numel():
            passed[query, place] = tile.exact.of_rows()[query, item]
        else:
            passed[query, place] = tile.exact.of_pairs(query, item)
