"""`ThresholdCounts`: exact counts of the negatives above each positive, for a block of queries, tile by tile."""

from __future__ import annotations

from typing import ClassVar

import torch

from hf_vitret.evaluation.ranking.scored_tile import ScoredTile

# If at most this share of the queries of a tile needs a closer look, their part of the tile is copied out first.
FEW = 0.25
# Costs in ns of three ways to count the scores above thresholds, from measurements on two cores with AVX-512. Comparing
# a tile with one threshold takes 0.12 to 0.38 ns for each score of the tile; `_add_open` counts two comparisons per
# threshold. Picking out the 3 to 10% of the scores that reach the lowest threshold takes 85 to 240 ns for each of them,
# and selecting as many best scores of each row 6 to 25 ns for each score of the tile: both with settling, sorting and
# searching, which are half of it or more.
_COMPARE_COST, _PICK_COST, _SELECT_COST = 0.25, 100.0, 20.0
# If more than this share of the scores of some queries is too close to a threshold to decide in float32, all scores of
# these queries are computed in float64: that costs 20 ns a score, against 1,000 ns for a score by itself.
_MAX_DOUBTFUL = 0.02

ALL = slice(None)
Rows = torch.Tensor | slice
"""Some queries of a block: their positions in it, `(num_rows,)` int64, or the slice of all."""


class ThresholdCounts:
    """Counts, for every query of a block, of the scores at or above each of its thresholds.

    Thresholds that can no longer matter are dropped while counting. The first threshold of a query is dropped once its
    count reaches its own limit, a later one once its positive is certain to rank at or beyond the limit of the query.
    In each tile, only the queries whose best score reaches their lowest remaining threshold are looked at. For a
    trained model these are almost none; for an untrained one, the first tiles drop all thresholds but the first.

    A score that is closer to a threshold than the rounding error of its tile is replaced by the exact score. The counts
    are therefore the same for every tiling.

    Args:
        thresholds: `(num_queries, width)` float32, descending along a row; -inf fills the rest of a row.
        num_thresholds: `(num_queries,)` int64, the number of thresholds in each row, which may be 0.
        limits: `(num_queries,)` int64. Threshold j > 0 is dropped once j + its count reaches the limit.
        first_limits: `(num_queries,)` int64, at least `limits`. Threshold 0 is dropped once its count reaches this
            limit.

    Attributes:
        above: `(num_queries, width)` int64, the counts so far. They are exact for thresholds up to `level`, and have no
            meaning beyond.
        level: `(num_queries,)` int64, the last threshold that is still counted; -1 if there is none.
        lowest: `(num_queries,)` float32, the value of that threshold, which a score must reach to be counted; infinity
            if there is none.
    """

    # A threshold that one process has dropped stays dropped: the minimum of the levels counts.
    TALLIES: ClassVar = (("above", True), ("level", False))
    """Attributes that several processes combine, each with whether they are summed; else the minimum is taken."""

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
        """Keep only the thresholds up to `level`, `(num_rows,)` int64, of the queries `rows`."""
        self.level[rows] = level
        lowest = self._thresholds[rows].gather(1, level.clamp(min=0).unsqueeze(1)).squeeze(1)
        self.lowest[rows] = lowest.masked_fill_(level < 0, torch.inf)

    def join(self, above: torch.Tensor, level: torch.Tensor) -> None:
        """Replace the state by that combined over several processes.

        Args:
            above: `(num_queries * width,)` int64, the combined counts.
            level: `(num_queries,)` int64. Thresholds beyond it are dropped.
        """
        self.above = above.view_as(self.above)
        self._keep(ALL, level)

    def clear(self) -> None:
        """Set the counts to zero, without restoring the thresholds that were dropped."""
        self.above = torch.zeros_like(self.above)

    def add(self, tile: ScoredTile) -> None:
        """Count the scores of a tile that has all queries of the block."""
        rows = (tile.best() >= self.lowest - tile.margins).nonzero().squeeze(1)
        if len(rows) <= FEW * len(self.level):
            self.add_to(rows, tile.of_queries(rows))
        else:
            self.add_to(ALL, tile)

    def add_to(self, rows: Rows, tile: ScoredTile) -> None:
        """Count the scores of a tile that has only the queries `rows`, which may be none."""
        level = self.level[rows]
        if not len(level):
            return
        is_open, is_last = level > 0, level == 0
        if is_last.any():  # one comparison counts for all queries with one threshold left
            self._compare(0, rows, is_last, tile)
        some = is_open.nonzero().squeeze(1)
        if len(some):
            self._add_open(some if isinstance(rows, slice) else rows[some], tile.of_queries(some))
        self._drop(rows)

    def _add_open(self, rows: torch.Tensor, tile: ScoredTile) -> None:
        """Count for the queries `rows`, which are those of the tile, in the cheapest of three ways."""
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
        # The scores at or above a threshold are those from its insertion point on: (rows, width).
        self.above[rows, :width] += passed.shape[1] - torch.searchsorted(passed, thresholds)

    def _compare(self, column: int, rows: Rows, is_counted: torch.Tensor, tile: ScoredTile) -> None:
        """Count the scores at or above one threshold of some queries, by comparing the whole tile with it.

        Args:
            column: Which threshold.
            rows: The queries of the tile.
            is_counted: `(num_rows,)` bool, which of them to count for.
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
        """Replace the scores that are too close to a threshold by exact ones.

        Args:
            passed: `(num_rows, num_best)` float32, scores of the queries of the tile, changed in place; -inf fills the
                rest of a row.
            items: `(num_rows, num_best)` int64, the items of these scores.
            thresholds: `(num_rows, width)` float32, ascending along a row.
            tile: The tile that the scores come from.
        """
        margins = tile.margins[:, None]
        num_below = torch.searchsorted(thresholds, passed - margins)
        num_not_above = torch.searchsorted(thresholds, passed + margins, right=True)
        is_doubtful = (num_below < num_not_above) & (passed > -torch.inf)
        query, column = is_doubtful.nonzero().unbind(dim=1)
        item = items[query, column]
        if len(query) > _MAX_DOUBTFUL * tile.scores.numel():
            passed[query, column] = tile.exact.of_rows()[query, item]
        else:
            passed[query, column] = tile.exact.of_pairs(query, item)
