"""`RankBrackets`: bounds on the rank of the best positive from float32 scores, for metrics that need only cut-offs."""

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

# Number of scores held at once while brackets are settled (1M are 4 MiB, which fit in the cache), and number of
# queries.
_MAX_SCORES, _MAX_QUERIES = 1_048_576, 1_024


class RankBrackets:
    """Counts of the negatives that are certainly, and that are possibly, above the best positive of each query.

    R@k only asks on which side of k a rank is. Among 60,502 images, a rank is uncertain by the few whose score float32
    cannot tell from that of the positive, and both ends of almost every such bracket are on the same side of all
    cut-offs. `ThresholdCounts` settles close scores in every tile; here they are left to the end, when hardly any of
    them matters.

    Args:
        thresholds: `(num_queries,)` float32, the score that a negative must reach to rank ahead of the best positive;
            -inf if there is no positive.
        cutoffs: The cut-offs, ascending, at least one. A query is dropped once its rank is certainly at or beyond the
            last.

    Attributes:
        thresholds: `(num_queries,)` float32, as given.
        above: `(num_queries,)` int64, the number of scores so far that are certainly at or above the threshold.
        possible: `(num_queries,)` int64, the number of scores so far that are certainly or possibly at or above it.
        lowest: `(num_queries,)` float32, the threshold; infinity if there is none, or the query was dropped.
    """

    TALLIES: ClassVar = (("above", True), ("possible", True))
    """Attributes that several processes combine, each with whether they are summed; else the minimum is taken."""

    def __init__(self, thresholds: torch.Tensor, cutoffs: Sequence[int]) -> None:
        self._cutoffs = torch.tensor(cutoffs, device=thresholds.device)
        self.thresholds = thresholds
        self.above = torch.zeros(len(thresholds), dtype=torch.int64, device=thresholds.device)
        self.possible = torch.zeros_like(self.above)
        self.lowest = thresholds.masked_fill(thresholds == -torch.inf, torch.inf)
        self._are_few = True

    def add(self, tile: ScoredTile) -> None:
        """Count the scores of a tile that has all queries of the block."""
        if self._are_few:  # if the last tile reached many queries, selecting them would save nothing
            rows = (tile.best() >= self.lowest - tile.margins).nonzero().squeeze(1)
            if len(rows) <= FEW * len(self.lowest):
                self.add_to(rows, tile.of_queries(rows))
                return
        num_reached = self.add_to(ALL, tile)
        self._are_few = num_reached <= FEW * len(self.lowest)

    def add_to(self, rows: Rows, tile: ScoredTile) -> int:
        """Count the scores of a tile that has only the queries `rows`.

        Returns:
            The number of queries with a score that is possibly at or above their threshold.
        """
        lowest = self.lowest[rows]
        if not len(lowest):
            return 0
        certain, possible = (tile.count_at_least(lowest + side * tile.margins) for side in (1, -1))
        self.above[rows] += certain
        self.possible[rows] += possible
        self.lowest[rows] = lowest.masked_fill(self.above[rows] >= self._cutoffs[-1], torch.inf)
        return int((possible > 0).sum())

    def join(self, above: torch.Tensor, possible: torch.Tensor) -> None:
        """Replace the counts by those summed over several processes, `(num_queries,)` int64 each."""
        self.above, self.possible = above, possible
        self.lowest = self.lowest.masked_fill(above >= self._cutoffs[-1], torch.inf)

    def clear(self) -> None:
        """Set the counts to zero, without restoring the queries that were dropped."""
        self.above, self.possible = torch.zeros_like(self.above), torch.zeros_like(self.possible)

    def is_unsettled(self) -> torch.Tensor:
        """Return for each query whether its rank may be on either side of a cut-off, `(num_queries,)` bool."""
        sides = (torch.searchsorted(self._cutoffs, each, right=True) for each in (self.above, self.possible))
        return torch.ne(*sides)

    def ranks(self) -> torch.Tensor:
        """Return for each query a rank on the right side of every cut-off.

        Returns:
            `(num_queries, 1)` int64; `UNRESOLVED` if the rank is at or beyond the last cut-off, or there is no
            positive.
        """
        is_beyond = (self.above >= self._cutoffs[-1]) | (self.thresholds == -torch.inf)
        return self.above.masked_fill(is_beyond, UNRESOLVED).unsqueeze(1)


def count_above(order: ClassOrder, queries: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """Count the negatives at or above a threshold exactly, for some queries of a set that is its own gallery.

    Args:
        order: The set.
        queries: `(num_some,)` int64, positions of the queries in the sorted set; there may be none.
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
