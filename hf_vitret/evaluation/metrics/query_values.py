"""Metrics of each query, block by block, and what becomes of them: exact means, or one value a query."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch

from hf_vitret.evaluation.metrics.metric_choice import MetricChoice
from hf_vitret.evaluation.metrics.metric_sums import MetricSums, fixed_point_sum
from hf_vitret.evaluation.ranking.ranked_block import PositiveRanks


@dataclass(frozen=True)
class QueryValues:
    """The metrics of a block of queries.

    Attributes:
        num_queries: Queries of the block.
        queries: `(num_evaluated,)` int64, the caller's rows of those that have a positive.
        values: For each metric `(num_evaluated,)` float64 in [0, 1].
    """

    num_queries: int
    queries: torch.Tensor
    values: dict[str, torch.Tensor]


def rank_values(
    choice: MetricChoice, blocks: Iterable[PositiveRanks], optimistic: Iterable[PositiveRanks] | None = None
) -> Iterator[QueryValues]:
    """Yield the metrics of all queries that have a positive.

    Args:
        choice: Which metrics.
        blocks: Ranks of the positives, as `positive_ranks` yields them; may be none.
        optimistic: The same queries' ranks with all ties won, in the same blocks, where the choice is of expected
            values.
    """
    pairs: Iterable[tuple[PositiveRanks, PositiveRanks | None]]
    pairs = ((block, None) for block in blocks) if optimistic is None else zip(blocks, optimistic, strict=True)
    for block, best in pairs:
        has_positive = block.num_positives > 0
        values = choice.values(
            block.num_positives[has_positive],
            block.ranks[has_positive],
            None if best is None else best.ranks[has_positive],
        )
        yield QueryValues(len(block.queries), block.queries[has_positive], values)


def sum_values(keys: Sequence[str], blocks: Iterable[QueryValues]) -> MetricSums:
    """Sum the metrics `keys` of all queries, exactly: in whatever blocks they come, and added to those of others."""
    sums = MetricSums(0, 0, dict.fromkeys(keys, 0))
    for block in blocks:
        totals = {key: fixed_point_sum(block.values[key]) for key in keys}
        sums += MetricSums(block.num_queries, len(block.queries), totals)
    return sums


def sum_placed(values: Mapping[str, torch.Tensor]) -> MetricSums:
    """Sum what `place_values` returned, of at least one metric.

    Example:
        >>> sum_placed({"mrr": torch.tensor([1.0, torch.nan, 0.5], dtype=torch.float64)}).metrics()
        {'mrr': 0.75, 'num_queries': 3, 'num_queries_without_positive': 1}
    """
    is_evaluated = ~next(iter(values.values())).isnan()
    totals = {name: fixed_point_sum(scores[is_evaluated]) for name, scores in values.items()}
    return MetricSums(len(is_evaluated), int(is_evaluated.sum()), totals)


def place_values(
    keys: Sequence[str], blocks: Iterable[QueryValues], num_queries: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """Put the metrics `keys` of all queries into the caller's order.

    Returns:
        For each metric `(num_queries,)` float64, nan where a query has no positive.
    """
    placed = {key: torch.full((num_queries,), torch.nan, dtype=torch.float64, device=device) for key in keys}
    for block in blocks:
        for key in keys:
            placed[key][block.queries] = block.values[key]
    return placed
