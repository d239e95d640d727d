"""Sums of retrieval metrics over queries that come out the same in whatever order and parts they are added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

# Values in [0, 1] are added as whole multiples of 2**-60: of the 53 bits of a float64, none is lost from 1/256 up.
# Each is cut in two, so that the sums of 2**33 of either half fit in 63 bits.
_FRACTION_BITS, _HALF_BITS = 60, 30


@dataclass(frozen=True)
class MetricSums:
    """Sums over a set of queries; those of two sets add up to those of both, exactly.

    Sums of floats depend on their order, in the last digits. These are whole numbers.

    Attributes:
        num_queries: All queries.
        num_evaluated: Those with a positive; the others count in none of the sums.
        totals: For each metric the sum of its values, in units of 2**-60.

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
        """Join two disjoint sets of queries.

        Raises:
            ValueError: Their metrics differ.
        """
        if list(self.totals) != list(other.totals):
            raise ValueError(
                f"sums must be of the same metrics to be added, got {', '.join(self.totals)} and "
                f"{', '.join(other.totals)}."
            )
        return MetricSums(
            self.num_queries + other.num_queries,
            self.num_evaluated + other.num_evaluated,
            {name: total + other.totals[name] for name, total in self.totals.items()},
        )

    def to_tensor(self) -> torch.Tensor:
        """Return the sums as `(2 + 2 * num_metrics,)` int64: those of several sets may be added before they are read.

        Two halves for each metric.
        """
        halves = [half for total in self.totals.values() for half in divmod(total, 1 << _HALF_BITS)]
        return torch.tensor([self.num_queries, self.num_evaluated, *halves])

    @classmethod
    def from_tensor(cls, names: Sequence[str], sums: torch.Tensor) -> MetricSums:
        """Read what `to_tensor` returned for the metrics `names`, or the sum of such tensors."""
        num_queries, num_evaluated, *halves = sums.tolist()
        totals = [(high << _HALF_BITS) + low for high, low in zip(halves[::2], halves[1::2], strict=True)]
        return cls(num_queries, num_evaluated, dict(zip(names, totals, strict=True)))

    def metrics(self) -> dict[str, float | int]:
        """Return the means over the queries with a positive, as `retrieval_metrics` does; nan if none has one."""
        unit = self.num_evaluated << _FRACTION_BITS
        return {
            **{name: total / unit if unit else float("nan") for name, total in self.totals.items()},
            "num_queries": self.num_queries,
            "num_queries_without_positive": self.num_queries - self.num_evaluated,
        }


def fixed_point_sum(values: torch.Tensor) -> int:
    """Add numbers in [0, 1], `(num_values,)` float64, in units of 2**-60.

    Example:
        >>> fixed_point_sum(torch.tensor([0.5, 0.25], dtype=torch.float64)) / 2**60
        0.75
    """
    high, low = _halves(values)
    return (int(high.sum()) << _HALF_BITS) + int(low.sum())


def row_sums(values: torch.Tensor) -> torch.Tensor:
    """Add each row of numbers in [0, 1], `(num_rows, width)` float64, alike whatever the width of its zero padding.

    Returns:
        `(num_rows,)` float64.

    Example:
        >>> row_sums(torch.tensor([[0.5, 0.25, 0.0]], dtype=torch.float64))
        tensor([0.7500], dtype=torch.float64)
    """
    high, low = (half.sum(dim=1).double() for half in _halves(values))  # both exact below 2**23 columns
    return (high + low * 2.0**-_HALF_BITS) * 2.0 ** (_HALF_BITS - _FRACTION_BITS)


def _halves(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the upper and the lower 30 bits of numbers in [0, 1] as int64."""
    units = (values * 2.0**_FRACTION_BITS).round().to(torch.int64)
    return units >> _HALF_BITS, units & ((1 << _HALF_BITS) - 1)
