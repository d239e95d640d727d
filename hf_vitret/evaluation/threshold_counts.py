"""Counts of the wrong items above each positive of a block of queries, tile by tile."""

from __future__ import annotations

import torch

from hf_vitret.evaluation.scored_tile import ScoredTile, count_true, true_places

# Three ways to count what passes, by their cost on two cores with AVX-512: comparing a tile with one more
# threshold takes 0.3 ns a score, and each is compared twice; picking a score out and sorting it in 50 ns, selecting
# the best of a row 8 ns a score.
_COMPARE_COST, _PICK_COST, _SELECT_COST = 0.3, 100.0, 20.0
# Of the scores of some queries, the share that may be too close to call: from there on, all of them in float64 cost
# less than each for itself (20 ns and 1,000 ns a score).
_MAX_DOUBTFUL = 0.02


class ThresholdCounts:
    """Counts, for every query of a block, the scores at or above each of its thresholds.

    Thresholds that can no longer matter are dropped while counting: a query's first is counted to the end, a
    later one until it is certain that its positive ranks at or beyond the query's limit. Each tile is
    compared with the lowest threshold left, so what passes is little: almost nothing for a trained model, and
    for an untrained one the first tiles drop all but the first threshold.

    A score closer to a threshold than the tile's rounding error is replaced by the exact one. The counts are
    therefore the same whatever the tiles.

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
        self._set_cut()

    def _set_cut(self) -> None:
        self._cut = self._thresholds.gather(1, self.level.unsqueeze(1)).squeeze(1)
        self._num_passes = int(self.level.max()) + 1

    def add(self, tile: ScoredTile) -> None:
        """Count one tile of scores of the block's queries."""
        lowest = self._cut - tile.margins
        found = tile.count_at_least(lowest)
        is_open = found > 0
        if int(found.sum()) * _PICK_COST > tile.scores.numel() * _COMPARE_COST:
            # One comparison counts for all the queries that are down to one threshold.
            is_closed = self.level == 0
            is_open &= ~is_closed
            self._compare(0, is_closed, lowest, found, tile)
        rows = is_open.nonzero().squeeze(1)
        if len(rows):
            self._add_to(rows, found[rows], tile)

    def _add_to(self, rows: torch.Tensor, found: torch.Tensor, tile: ScoredTile) -> None:
        """Count for the queries `rows`, of whose scores the tile's hits show `found`, in the cheapest of three ways."""
        width, num_hits = self._num_passes, int(found.sum())
        compare = 2 * width * tile.scores.numel() * _COMPARE_COST
        pick, select = num_hits * _PICK_COST, len(rows) * tile.num_items * _SELECT_COST
        if compare < min(pick, select):
            is_row = torch.zeros_like(self.level, dtype=torch.bool).index_fill_(0, rows, True)
            for column in range(width):
                is_counted = is_row & (self.level >= column)
                lowest = self._thresholds[:, column].masked_fill(~is_counted, torch.inf) - tile.margins
                self._compare(column, is_counted, lowest, tile.count_at_least(lowest), tile)
        else:
            is_picked = pick <= select
            passed, items = tile.picked(rows, found) if is_picked else tile.selected(rows, int(found.max()))
            self._settle(passed, items, rows, tile)
            passed = passed.sort(dim=1).values
            # The scores at or above a threshold are those right of its place: (rows, width)
            places = torch.searchsorted(passed, self._thresholds[rows, :width])
            self.above[rows, :width] += passed.shape[1] - places
        is_alive = self.above[rows, :width] + self._columns[:width] < self._limits[rows, None]
        self.level[rows] = torch.minimum((is_alive.sum(dim=1) - 1).clamp(min=0), self.level[rows])
        self._set_cut()

    def _compare(
        self, column: int, is_counted: torch.Tensor, lowest: torch.Tensor, num_possible: torch.Tensor, tile: ScoredTile
    ) -> None:
        """Count with one threshold of some queries.

        Args:
            column: Which threshold.
            is_counted: `(num_queries,)` bool, which queries.
            lowest: `(num_queries,)` float32, of these the threshold less the margin.
            num_possible: `(num_queries,)` int64, how many scores are at or above `lowest`.
            tile: The scores; its `hits` show which these are.
        """
        thresholds = self._thresholds[:, column]
        is_doubtful = tile.hits_below(torch.where(is_counted, thresholds + tile.margins, lowest))
        num_doubtful = count_true(is_doubtful, 1 - tile.query_dim)[: len(thresholds)]
        self.above[:, column] += (num_possible - num_doubtful).masked_fill_(~is_counted, 0)
        total = int(num_doubtful.sum())
        if total == 0:
            return
        if total > _MAX_DOUBTFUL * is_doubtful.numel():
            rows = num_doubtful.nonzero().squeeze(1)
            some = is_doubtful.index_select(tile.query_dim, rows)
            is_above = (some.T if tile.query_dim == 1 else some) & (tile.exact.of_rows(rows) >= thresholds[rows, None])
            self.above[rows, column] += is_above.sum(dim=1)
        else:
            row, place = true_places(is_doubtful)  # (num_pairs,) each
            query, item = (row, place) if tile.query_dim == 0 else (place, row)
            is_above = tile.exact.of_pairs(query, item) >= thresholds[query]
            self.above[:, column].index_add_(0, query, is_above.long())

    def _settle(self, passed: torch.Tensor, items: torch.Tensor, rows: torch.Tensor, tile: ScoredTile) -> None:
        """Replace the scores that are too close to a threshold by the exact ones.

        Args:
            passed: `(num_rows, num_best)` float32 scores of the queries `rows`, changed in place; -inf fills.
            items: `(num_rows, num_best)` int64, whose scores they are.
            rows: `(num_rows,)` int64 queries.
            tile: Where they are from.
        """
        thresholds = self._thresholds[rows, : self._num_passes].flip(1)  # ascending
        margins = tile.margins[rows, None]
        num_below = torch.searchsorted(thresholds, passed - margins)
        num_not_above = torch.searchsorted(thresholds, passed + margins, right=True)
        is_doubtful = (num_below < num_not_above) & (passed > -torch.inf)
        query, place = is_doubtful.nonzero().unbind(dim=1)
        item = items[query, place]
        if len(query) > _MAX_DOUBTFUL * len(rows) * tile.num_items:
            passed[query, place] = tile.exact.of_rows(rows)[query, item]
        else:
            passed[query, place] = tile.exact.of_pairs(rows[query], item)
