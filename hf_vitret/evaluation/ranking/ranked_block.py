"""Blocks of queries: how they are cut, and the ranks that come out of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.threshold_counts import ThresholdCounts
from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED, Wanted

# Thresholds of a block of queries held at once, as float32 and an int64 count: 4M of them are 48 MB.
_MAX_THRESHOLDS = 4_000_000


@dataclass(frozen=True)
class PositiveRanks:
    """The ranks of the positives of a block of queries.

    Attributes:
        queries: `(block,)` int64 rows of the query embeddings.
        ranks: `(block, max_positives)` int64, ascending along a row, 0 is the top of the list. Column j holds
            the rank of the j-th best positive; `UNRESOLVED` fills the row's end.
        num_positives: `(block,)` int64, R in the formulas. 0 where the query has nothing to find.
    """

    queries: torch.Tensor
    ranks: torch.Tensor
    num_positives: torch.Tensor


def query_blocks(num_queries: int, tile_size: int, width: Callable[[int, int], int]) -> Iterator[tuple[int, int]]:
    """Cut queries into blocks that fit a tile and hold few enough thresholds.

    Args:
        num_queries: How many there are, in the order of class size.
        tile_size: Queries of a block at most.
        width: Gives the thresholds of a query of the block `start`, `stop`.
    """
    start = 0
    while start < num_queries:
        stop = min(start + tile_size, num_queries)
        while stop - start > 1 and (stop - start) * width(start, stop) > _MAX_THRESHOLDS:
            stop = start + (stop - start) // 2
        yield start, stop
        start = stop


def to_ranks(queries: torch.Tensor, counts: ThresholdCounts, num_positives: torch.Tensor) -> PositiveRanks:
    """Add the positives ahead of each positive to the wrong items counted ahead of it, and name their queries."""
    places = torch.arange(counts.above.shape[1], device=counts.above.device)
    is_exact = places <= counts.level.unsqueeze(1)
    ranks = (counts.above + places).masked_fill_(~is_exact, UNRESOLVED)
    return PositiveRanks(queries, ranks, num_positives)


def positives_of(order: ClassOrder, start: int, stop: int, wanted: Wanted) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the thresholds of the queries' positives, `(block, num_ranks)` float32, and their numbers, `(block,)`."""
    scores, num_positives = order.positive_scores(start, stop, wanted.tolerance)
    return wanted.thresholds(scores), num_positives
