"""Sums of retrieval metrics over queries that come out the same in whatever order and parts they are added."""

from __future__ import annotations

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
        ks: The cut-offs of recall, ascending.
        num_queries: All queries.
        num_evaluated: Those with a positive; the others count in none of the sums.
        num_found: For each cut-off the queries with a positive up to there.
        map_at_r: Sum of MAP@R, in units of 2**-60.
        r_precision: Sum of the R-precision, in units of 2**-60.

    Example:
        >>> total = fixed_point_sum(torch.tensor([0.25, 0.75], dtype=torch.float64))
        >>> sums = MetricSums((1,), 2, 2, (1,), total, total) + MetricSums((1,), 1, 0, (0,), 0, 0)
        >>> sums.metrics()  # doctest: +NORMALIZE_WHITESPACE
        {'recall_at_1': 0.5, 'map_at_r': 0.5, 'r_precision': 0.5, 'num_queries': 3,
         'num_queries_without_positive': 1}
    """

    ks: tuple[int, ...]
    num_queries: int
    num_evaluated: int
    num_found: tuple[int, ...]
    map_at_r: int
    r_precision: int

    def __add__(self, other: MetricSums) -> MetricSums:
        """Join two disjoint sets of queries.

        Raises:
            ValueError: Their cut-offs differ.
        """
        if self.ks != other.ks:
            raise ValueError(f"sums must be of the same cut-offs to be added, got {self.ks} and {other.ks}.")
        return MetricSums(
            self.ks,
            self.num_queries + other.num_queries,
            self.num_evaluated + other.num_evaluated,
            tuple(mine + others for mine, others in zip(self.num_found, other.num_found, strict=True)),
            self.map_at_r + other.map_at_r,
            self.r_precision + other.r_precision,
        )

    def to_tensor(self) -> torch.Tensor:
        """Return the sums as `(6 + len(ks),)` int64: tensors of several sets may be added before they are read."""
        halves = [divmod(total, 1 << _HALF_BITS) for total in (self.map_at_r, self.r_precision)]
        return torch.tensor([self.num_queries, self.num_evaluated, *halves[0], *halves[1], *self.num_found])

    @classmethod
    def from_tensor(cls, ks: tuple[int, ...], sums: torch.Tensor) -> MetricSums:
        """Read what `to_tensor` returned, or the sum of such tensors, `(6 + len(ks),)` int64."""
        num_queries, num_evaluated, *halves = sums[:6].tolist()
        map_at_r, r_precision = ((high << _HALF_BITS) + low for high, low in (halves[:2], halves[2:]))
        return cls(ks, num_queries, num_evaluated, tuple(sums[6:].tolist()), map_at_r, r_precision)

    def metrics(self) -> dict[str, float | int]:
        """Return the means over the queries with a positive, as `retrieval_metrics` does; nan if none has one."""
        return {
            **{f"recall_at_{k}": self._mean(found) for k, found in zip(self.ks, self.num_found, strict=True)},
            "map_at_r": self._mean(self.map_at_r, 1 << _FRACTION_BITS),
            "r_precision": self._mean(self.r_precision, 1 << _FRACTION_BITS),
            "num_queries": self.num_queries,
            "num_queries_without_positive": self.num_queries - self.num_evaluated,
        }

    def _mean(self, total: int, unit: int = 1) -> float:
        return total / (self.num_evaluated * unit) if self.num_evaluated else float("nan")


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
