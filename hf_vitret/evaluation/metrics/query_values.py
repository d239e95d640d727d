"""Metrics of the queries, block by block, and their exact means or one tensor of values for each metric."""

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
        num_queries: Number of queries in the block.
        queries: `(num_evaluated,)` int64, the rows of the queries that have a positive, in the query embeddings.
        values: For each metric, `(num_evaluated,)` float64 in [0, 1].
    """

    num_queries: int
    queries: torch.Tensor
    values: dict[str, torch.Tensor]


def rank_values(
    choice: MetricChoice, blocks: Iterable[PositiveRanks], optimistic: Iterable[PositiveRanks] | None = None
) -> Iterator[QueryValues]:
    """Yield the metrics of the queries that have a positive, block by block.

    Args:
        choice: The metrics to compute.
        blocks: The pessimistic ranks of the positives, as `positive_ranks` yields them; there may be no block.
        optimistic: The optimistic ranks of the same queries, in the same blocks; required for expected values and only
            for them.
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
    """Sum the metrics `keys` over all queries exactly, whatever blocks they come in."""
    sums = MetricSums(0, 0, dict.fromkeys(keys, 0))
    for block in blocks:
        totals = {key: fixed_point_sum(block.values[key]) for key in keys}
        sums += MetricSums(block.num_queries, len(block.queries), totals)
    return sums


def sum_values_by_query(values: Mapping[str, torch.Tensor]) -> MetricSums:
    """Sum the values that `values_by_query` returned, for at least one metric.

    Example:
        >>> sum_values_by_query({"mrr": torch.tensor([1.0, torch.nan, 0.5], dtype=torch.float64)}).metrics()
        {'mrr': 0.75, 'num_queries': 3, 'num_queries_without_positive': 1}
    """
    is_evaluated = ~next(iter(values.values())).isnan()
    totals = {name: fixed_point_sum(scores[is_evaluated]) for name, scores in values.items()}
    return MetricSums(len(is_evaluated), int(is_evaluated.sum()), totals)


def values_by_query(
    keys: Sequence[str], blocks: Iterable[QueryValues], num_queries: int, device: torch.device
) -> dict[str, torch.Tensor]:
    """Return the metrics `keys` of all queries, in the order of the queries.

    Args:
        keys: Names of the metrics.
        blocks: The values, in blocks that cover each query once.
        num_queries: Number of all queries.
        device: Device of the results.

    Returns:
        For each metric, `(num_queries,)` float64; nan for a query without a positive.
    """
    found = {key: torch.full((num_queries,), torch.nan, dtype=torch.float64, device=device) for key in keys}
    for block in blocks:
        for key in keys:
            found[key][block.queries] = block.values[key]
    return found
