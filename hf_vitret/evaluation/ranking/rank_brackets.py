"""Brackets of the best positive's rank, from float32 scores alone: enough where only a few cut-offs matter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch

from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.exact_scores import ExactScores
from hf_vitret.evaluation.ranking.scored_tile import ScoredTile
from hf_vitret.evaluation.ranking.threshold_counts import ALL, FEW, Rows, ThresholdCounts
from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED
from hf_vitret.search.inner_products import inner_products

# Scores held at once when brackets are settled: 1M are 4 MiB, which stay in cache; and queries.
_MAX_SCORES, _MAX_QUERIES = 1_048_576, 1_024


class RankBrackets:
    """Counts, for each query of a block, the wrong items that are certainly and that are possibly above its positive.

    R@k asks on which side of k a rank lies, and no more. Of 60,502 images a rank is uncertain by the few whose score
    float32 cannot tell from the positive's, and at both ends of almost every such bracket the answer is the same. What
    `ThresholdCounts` settles tile by tile is here left to the end, where next to nothing is left of it.

    Args:
        thresholds: `(num_queries,)` float32, what a wrong item must score to rank ahead; -inf: there is no positive.
        cutoffs: The ks, ascending, at least one. A query is dropped once its rank is certainly beyond the last.

    Attributes:
        thresholds: As given.
        above: `(num_queries,)` int64, the scores so far that are certainly at or above the threshold.
        possible: `(num_queries,)` int64, these and those that may be.
        lowest: `(num_queries,)` float32, the threshold; infinity: none, or dropped.
    """

    TALLIES: ClassVar = (("above", True), ("possible", True))
    """What several processes tell each other, and whether it is added (or else the least counts)."""

    def __init__(self, thresholds: torch.Tensor, cutoffs: Sequence[int]) -> None:
        self._cutoffs = torch.tensor(cutoffs, device=thresholds.device)
        self.thresholds = thresholds
        self.above = torch.zeros(len(thresholds), dtype=torch.int64, device=thresholds.device)
        self.possible = torch.zeros_like(self.above)
        self.lowest = thresholds.masked_fill(thresholds == -torch.inf, torch.inf)
        self._are_few = True

    def add(self, tile: ScoredTile) -> None:
        """Count one tile of scores of the block's queries."""
        if self._are_few:  # else the search for each query's best would be for nothing, as it was in the last tile
            rows = (tile.best() >= self.lowest - tile.margins).nonzero().squeeze(1)
            if len(rows) <= FEW * len(self.lowest):
                self.add_to(rows, tile.of_queries(rows))
                return
        num_met = self.add_to(ALL, tile)
        self._are_few = num_met <= FEW * len(self.lowest)

    def add_to(self, rows: Rows, tile: ScoredTile) -> int:
        """Count one tile of scores of the queries `rows`, a tile of theirs alone; return how many met one."""
        lowest = self.lowest[rows]
        if not len(lowest):
            return 0
        certain, possible = (tile.count_at_least(lowest + side * tile.margins) for side in (1, -1))
        self.above[rows] += certain
        self.possible[rows] += possible
        self.lowest[rows] = lowest.masked_fill(self.above[rows] >= self._cutoffs[-1], torch.inf)
        return int((possible > 0).sum())

    def join(self, above: torch.Tensor, possible: torch.Tensor) -> None:
        """Go on with other counts, `(num_queries,)` int64 each."""
        self.above, self.possible = above, possible
        self.lowest = self.lowest.masked_fill(above >= self._cutoffs[-1], torch.inf)

    def clear(self) -> None:
        """Count from zero, for the queries that are not dropped."""
        self.above, self.possible = torch.zeros_like(self.above), torch.zeros_like(self.possible)

    def is_unsettled(self) -> torch.Tensor:
        """Tell for each query, `(num_queries,)` bool, whether its rank may lie on either side of a cut-off."""
        sides = (torch.searchsorted(self._cutoffs, each, right=True) for each in (self.above, self.possible))
        return torch.ne(*sides)

    def ranks(self) -> torch.Tensor:
        """Return a rank on the right side of every cut-off, `(num_queries, 1)` int64; `UNRESOLVED` beyond the last."""
        is_beyond = (self.above >= self._cutoffs[-1]) | (self.thresholds == -torch.inf)
        return self.above.masked_fill(is_beyond, UNRESOLVED).unsqueeze(1)


def count_above(order: ClassOrder, queries: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """Count the wrong items at or above a threshold, exactly, for some queries of a set that is its own gallery.

    Args:
        order: The set.
        queries: `(num_some,)` int64 in the order's order; there may be none.
        thresholds: `(num_some,)` float32.

    Returns:
        `(num_some,)` int64.
    """
    counts = torch.zeros_like(queries)
    for start in range(0, len(queries), _MAX_QUERIES):
        some = queries[start : start + _MAX_QUERIES]
        rows, one = order.queries[some], torch.ones_like(some)
        never = one * UNRESOLVED
        exact = ThresholdCounts(thresholds[start : start + len(some), None], one, never, never)
        width = max(8, _MAX_SCORES // len(some) // 8 * 8)
        for first in range(0, order.num_gallery, width):
            items = order.gallery[first : first + width]
            scores = inner_products(rows, items)
            order.hide_own(scores, some, first)
            tile = ScoredTile(scores, torch.empty_like(scores), 0, ExactScores(rows, items), order.margins[some])
            exact.add(tile)
        counts[start : start + len(some)] = exact.above[:, 0]
    return counts
