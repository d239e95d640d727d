"""Inner products that do not depend on how they are cut into matrix products."""

from __future__ import annotations

import torch

# What is turned into float64 at once: 1,024 rows of 2,048 dimensions are 16 MiB.
_ROWS, _COLUMNS = 1_024, 8_192


class ExactScores:
    """Inner products of two sets of rows in float64, rounded to float32.

    A float32 product differs with the shapes of its operands, the kernel, the threads and the device: two rows were
    seen to score up to 2.6e-6 apart (MKL, 384 dimensions, seven rows or a thousand beside them). In float64 the same
    holds of the sixteenth digit, which rounding takes off. So a float32 product need only be right to within
    `error_bound`, and what stands that close to a threshold is asked for here.

    Args:
        queries: `(num_queries, dim)` float32.
        gallery: `(num_items, dim)` float32.

    Example:
        >>> rows = torch.tensor([[0.6, 0.8], [1.0, 0.0]])
        >>> exact = ExactScores(rows, rows)
        >>> exact.of_rows(torch.tensor([0]))
        tensor([[1.0000, 0.6000]])
        >>> exact.of_pairs(torch.tensor([0, 1]), torch.tensor([1, 1]))
        tensor([0.6000, 1.0000])
    """

    def __init__(self, queries: torch.Tensor, gallery: torch.Tensor) -> None:
        self._queries, self._gallery = queries, gallery

    @property
    def transposed(self) -> ExactScores:
        """The same scores with the gallery's rows as queries."""
        return ExactScores(self._gallery, self._queries)

    def of_queries(self, queries: torch.Tensor) -> ExactScores:
        """The scores of some queries alone, `(num_some,)` int64."""
        return ExactScores(self._queries[queries], self._gallery)

    def of_pairs(self, queries: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Score pairs of a query and an item, `(num_pairs,)` int64 each: `(num_pairs,)` float32."""
        scores = torch.empty(len(queries), device=self._queries.device)
        for start in range(0, len(queries), _ROWS):
            pairs = slice(start, start + _ROWS)
            products = self._queries[queries[pairs]].double() * self._gallery[items[pairs]].double()
            scores[pairs] = products.sum(dim=1)
        return scores

    def of_rows(self, queries: torch.Tensor | slice = slice(None)) -> torch.Tensor:
        """Score some queries, `(num_rows,)` int64 or a slice, with all items: `(num_rows, num_items)` float32."""
        rows = self._queries[queries]
        scores = torch.empty(len(rows), len(self._gallery), device=rows.device)
        for first in range(0, len(self._gallery), _COLUMNS):
            columns = self._gallery[first : first + _COLUMNS].double().T  # (dim, columns)
            for start in range(0, len(rows), _ROWS):
                scores[start : start + _ROWS, first : first + _COLUMNS] = rows[start : start + _ROWS].double() @ columns
        return scores


def exact_device(device: torch.device) -> torch.device:
    """Return where to score what a model on `device` embedded: there, or on the CPU where it lends no float64.

    Example:
        >>> exact_device(torch.device("mps"))
        device(type='cpu')
    """
    return device if device.type == "cuda" else torch.device("cpu")


def error_bound(dim: int) -> float:
    """Bound the error of a float32 inner product, in any order of addition, by this times the norms of both rows.

    Each of the `dim` roundings, of a product or a sum, is wrong by at most 2**-24 of what it rounds, and the products
    sum to at most the norms' product, whatever their signs. A few more stand for the rounding of the exact score and of
    what it is compared with.

    Reference:
        Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1, equation 3.5.

    Example:
        >>> round(error_bound(384) * 1e6, 1)
        23.2
    """
    unit = (dim + 6) * 2.0**-24
    return unit / (1 - unit)


def row_norms(rows: torch.Tensor) -> torch.Tensor:
    """Return the lengths of rows, `(num_rows,)` float32, right to the last digit."""
    norms = torch.empty(len(rows), device=rows.device)
    for start in range(0, len(rows), 1_024):  # a whole copy in float64 would cost ten times the sums
        norms[start : start + 1_024] = rows[start : start + 1_024].double().square().sum(dim=1).sqrt()
    return norms
