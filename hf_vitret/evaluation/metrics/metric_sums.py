"""Exact sums of metrics over queries, which do not depend on the order or the grouping of the additions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

# Values in [0, 1] are added as integer multiples of 2**-60, which is exact for float64 values from 1/256 up. Each value
# is split into two halves, so that the sum of 2**33 halves fits in 63 bits.
_FRACTION_BITS, _HALF_BITS = 60, 30


@dataclass(frozen=True)
class MetricSums:
    """Sums of metrics over a set of queries. The sums of two disjoint sets add up exactly to those of their union.

    The last digits of a sum of floats depend on the order of the additions. These sums are integers, and do not.

    Attributes:
        num_queries: Number of all queries.
        num_evaluated: Number of queries with a positive; only they contribute to the sums.
        totals: For each metric, the sum of its values in units of 2**-60.

    Example:
        >>> total = fixed_point_sum(torch.tensor([0.25, 0.75], dtype=torch.float64))
        >>> sums = MetricSums(2, 2, {"map_at_r": total}) + MetricSums(1, 0, {"map_at_r": 0})
        >>> sums.metrics()
        {'map_at_r': 0.5, 'num_queries': 3, 'num_queries_without_positive': 1}
    """

    num_queries: int
    num_evaluated: int
    totals: Mapping[str, int]

    def __add__(self, other: MetricSums) -> MetricSums:
        """Return the sums over the union of two disjoint sets of queries.

        Raises:
            ValueError: The two have different metrics.
        """
        if list(self.totals) != list(other.totals):
            raise ValueError(
                f"sums must be of the same metrics to be added, got {', '.join(self.totals)} and "
                f"{', '.join(other.totals)}. Compute both for the same metrics and cut-offs."
            )
        return MetricSums(
            self.num_queries + other.num_queries,
            self.num_evaluated + other.num_evaluated,
            {name: total + other.totals[name] for name, total in self.totals.items()},
        )

    def to_tensor(self) -> torch.Tensor:
        """Return the sums as one tensor. Tensors of several sets of queries may be added before `from_tensor`.

        Returns:
            `(2 + 2 * num_metrics,)` int64: the two numbers of queries, then two halves for each metric.
        """
        halves = [half for total in self.totals.values() for half in divmod(total, 1 << _HALF_BITS)]
        return torch.tensor([self.num_queries, self.num_evaluated, *halves])

    @classmethod
    def from_tensor(cls, names: Sequence[str], sums: torch.Tensor) -> MetricSums:
        """Return the sums that `to_tensor` wrote, or the sum of several such tensors, for the metrics `names`."""
        num_queries, num_evaluated, *halves = sums.tolist()
        totals = [(high << _HALF_BITS) + low for high, low in zip(halves[::2], halves[1::2], strict=True)]
        return cls(num_queries, num_evaluated, dict(zip(names, totals, strict=True)))

    def metrics(self) -> dict[str, float | int]:
        """Return the means over the queries with a positive, and the counts, as `retrieval_metrics` returns them.

        Returns:
            Each mean by the name of its metric, nan if no query has a positive; then `num_queries` and
            `num_queries_without_positive`.
        """
        unit = self.num_evaluated << _FRACTION_BITS
        return {
            **{name: total / unit if unit else float("nan") for name, total in self.totals.items()},
            "num_queries": self.num_queries,
            "num_queries_without_positive": self.num_queries - self.num_evaluated,
        }


def fixed_point_sum(values: torch.Tensor) -> int:
    """Sum numbers in [0, 1], `(num_values,)` float64, in units of 2**-60.

    Example:
        >>> fixed_point_sum(torch.tensor([0.5, 0.25], dtype=torch.float64)) / 2**60
        0.75
    """
    high, low = _halves(values)
    return (int(high.sum()) << _HALF_BITS) + int(low.sum())


def row_sums(values: torch.Tensor) -> torch.Tensor:
    """Sum each row of numbers in [0, 1], so that zeros at the end of a row do not change the last digits of its sum.

    Args:
        values: `(num_rows, width)` float64.

    Returns:
        `(num_rows,)` float64.

    Example:
        >>> row_sums(torch.tensor([[0.5, 0.25, 0.0]], dtype=torch.float64))
        tensor([0.7500], dtype=torch.float64)
    """
    high, low = (half.sum(dim=1).double() for half in _halves(values))  # both sums are exact below 2**23 columns
    return (high + low * 2.0**-_HALF_BITS) * 2.0 ** (_HALF_BITS - _FRACTION_BITS)


def _halves(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the upper and the lower 30 bits of numbers in [0, 1], as int64 tensors."""
    units = (values * 2.0**_FRACTION_BITS).round().to(torch.int64)
    return units >> _HALF_BITS, units & ((1 << _HALF_BITS) - 1)
