"""`PositiveRanks`, the ranks of the positives of a block of queries, and the division of queries into blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.threshold_counts import ThresholdCounts
from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED, Wanted

# Number of thresholds of a block of queries held at once, as float32 and an int64 count: 4M of them are 48 MB.
_MAX_THRESHOLDS = 4_000_000


@dataclass(frozen=True)
class PositiveRanks:
    """The ranks of the positives of a block of queries.

    Attributes:
        queries: `(block,)` int64, the rows of the queries in the query embeddings.
        ranks: `(block, max_positives)` int64, ascending along a row; 0 is the top of the list. Column j holds the rank
            of the j-th best positive. `UNRESOLVED` fills the rest of a row.
        num_positives: `(block,)` int64, R in the formulas; 0 for a query without a positive.
    """

    queries: torch.Tensor
    ranks: torch.Tensor
    num_positives: torch.Tensor


def query_blocks(num_queries: int, tile_size: int, width: Callable[[int, int], int]) -> Iterator[tuple[int, int]]:
    """Yield the bounds of blocks of queries that fit a tile and have few enough thresholds.

    Args:
        num_queries: Number of queries, which are sorted by class size.
        tile_size: Largest number of queries in a block.
        width: A function that returns the number of thresholds of a query of the block `start`, `stop`.

    Yields:
        The first query of a block, and one past its last query.
    """
    start = 0
    while start < num_queries:
        stop = min(start + tile_size, num_queries)
        while stop - start > 1 and (stop - start) * width(start, stop) > _MAX_THRESHOLDS:
            stop = start + (stop - start) // 2
        yield start, stop
        start = stop


def to_ranks(queries: torch.Tensor, counts: ThresholdCounts, num_positives: torch.Tensor) -> PositiveRanks:
    """Compute ranks: the number of positives ahead of each positive, plus the number of negatives counted ahead of it.

    Args:
        queries: `(block,)` int64, the rows of the queries in the query embeddings.
        counts: The counts of the negatives.
        num_positives: `(block,)` int64.

    Returns:
        The ranks; `UNRESOLVED` where the threshold was dropped.
    """
    num_positives_ahead = torch.arange(counts.above.shape[1], device=counts.above.device)
    is_exact = num_positives_ahead <= counts.level.unsqueeze(1)
    ranks = (counts.above + num_positives_ahead).masked_fill_(~is_exact, UNRESOLVED)
    return PositiveRanks(queries, ranks, num_positives)


def positives_of(order: ClassOrder, start: int, stop: int, wanted: Wanted) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the thresholds of the positives of a block of queries, and their numbers.

    Args:
        order: The sorted queries and gallery.
        start: First query.
        stop: One past the last query.
        wanted: The ranks to resolve.

    Returns:
        `(block, num_ranks)` float32 thresholds, and `(block,)` int64 numbers of positives.
    """
    scores, num_positives = order.positive_scores(start, stop, wanted.tolerance)
    return wanted.thresholds(scores), num_positives
