"""Upper bounds on scores from a few leading dimensions, which decide most pairs without a full inner product."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.threshold_counts import FEW
from hf_vitret.search.inner_products import inner_products

# Numbers of columns that are tried, as shares of all dimensions.
_SHARES = tuple(number / 24 for number in (1, 2, 3, 4, 5, 6, 8, 10, 12))
# The sample that they are tried on: its queries, in blocks of this many; its items; and the largest number of other
# rows from which the directions are computed. The directions fit the rows they are computed from better than other
# rows, even with 8,192 rows of 384 dimensions, so the sample is kept apart.
_SAMPLE_QUERIES, _SAMPLE_BLOCK, _SAMPLE_ITEMS, _MOMENT_ROWS = 512, 64, 1_536, 8_192
# Rows projected at once.
_BLOCK = 4_096
# The leading part is used if its cost is at most this share of the full products. A tile that it cannot decide costs
# both products.
_WORTHWHILE = 0.8
# The squared length of a projected row in float32 is correct to within this share of the squared length of the full
# row.
_SQUARED_ROUNDING = 2.5e-7


@dataclass(frozen=True)
class LeadingPart:
    """The rows of a query set, projected onto a few leading directions, with the length of the remainder of each row.

    The inner product of two rows is that of their projections plus that of their remainders, and the latter is at most
    the product of the lengths of the remainders. With that length as one more column, one product of the short rows
    bounds each score from above. If the bound is below what a score must reach, no full product is needed. The
    directions are those of the largest second moments, so that the remainders are short; in trained embeddings, whose
    variance is in few directions, they are very short.

    Attributes:
        rows: `(num_rows, num_leading + 1)` float32. The last column is at least the length of the remainder of the row.
    """

    rows: torch.Tensor

    @classmethod
    def of(cls, rows: torch.Tensor, directions: torch.Tensor, first: int = 0, step: int = 1) -> LeadingPart:
        """Project rows onto the leading directions.

        Args:
            rows: `(num_rows, dim)` float32.
            directions: `(dim, num_leading)` float64, orthonormal columns.
            first: Number of the first block of rows to project; rows that are not projected stay zero.
            step: Distance from one block to the next, in blocks.
        """
        found = torch.zeros(len(rows), directions.shape[1] + 1, device=rows.device)
        for start in range(first * _BLOCK, len(rows), step * _BLOCK):
            whole = rows[start : start + _BLOCK].double()
            part = whole @ directions
            squared = whole.square().sum(dim=1)
            rest = squared - part.square().sum(dim=1) + _SQUARED_ROUNDING * squared
            found[start : start + len(part), :-1] = part
            found[start : start + len(part), -1] = rest.sqrt()
        return cls(found)

    def narrower(self, num_columns: int) -> LeadingPart:
        """Return the projection onto fewer directions, with `num_columns` columns in all, the lengths included."""
        rests = self.rows[:, num_columns - 1 :].square().sum(dim=1).sqrt()
        return LeadingPart(torch.cat([self.rows[:, : num_columns - 1], rests.unsqueeze(1)], dim=1))

    def bounds(
        self, queries: tuple[int, int], items: tuple[int, int], out: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Bound the scores of some rows with some other rows from above, up to the error of a float32 product.

        Args:
            queries: The first row, and one past the last row.
            items: The first row and one past the last row of the others.
            out: `(num_queries, num_items)` float32, overwritten.

        Returns:
            The largest bound of each query, `(num_queries,)` float32, and of each item, `(num_items,)` float32.
        """
        inner_products(self.rows[slice(*queries)], self.rows[slice(*items)], out=out)
        return out.amax(dim=1), out.amax(dim=0)


def choose_directions(order: ClassOrder, lowest: torch.Tensor) -> torch.Tensor | None:
    """Choose the number of leading directions that saves the most, measured on a sample of the pairs.

    Args:
        order: A query set that is its own gallery.
        lowest: `(num_queries,)` float32, the score that must be reached to matter to each sorted query.

    Returns:
        The directions, as `LeadingPart.of` takes them; `None` if full products are cheaper.
    """
    rows = order.queries
    dim, generator = rows.shape[1], torch.Generator().manual_seed(0)  # results do not depend on the seed
    if len(rows) < 2 * (_SAMPLE_QUERIES + _SAMPLE_ITEMS):
        return None
    drawn = torch.randperm(len(rows), generator=generator).to(rows.device)
    moments = torch.zeros(dim, dim, device=rows.device)
    for some in torch.split(drawn[_SAMPLE_QUERIES + _SAMPLE_ITEMS :][:_MOMENT_ROWS], _BLOCK):
        moments += inner_products(rows[some].T, rows[some].T)
    directions = torch.linalg.eigh(moments.double()).eigenvectors.flip(1)  # (dim, dim), the largest moment first
    # Ascending, as in the blocks of queries. Queries of small classes find few similar items, and keep more pairs.
    queries, items = drawn[:_SAMPLE_QUERIES].sort().values, drawn[_SAMPLE_QUERIES : _SAMPLE_QUERIES + _SAMPLE_ITEMS]
    is_right = (order.starts[queries, None] <= items) & (items < order.ends[queries, None])
    some, reached = rows[torch.cat([queries, items])], lowest[queries] - order.margins[queries]
    scores = torch.empty(_SAMPLE_QUERIES, _SAMPLE_ITEMS, device=rows.device)
    best_cost, best_size = _WORTHWHILE, 0
    sizes = sorted({max(8, int(dim * share) // 8 * 8) for share in _SHARES})
    widest = LeadingPart.of(some, directions[:, : sizes[-1] - 1])
    for size in sizes:
        part = widest.narrower(size)
        part.bounds((0, _SAMPLE_QUERIES), (_SAMPLE_QUERIES, len(some)), scores)
        is_left = scores.masked_fill(is_right, -torch.inf).amax(dim=1) >= reached
        shares = is_left.view(-1, _SAMPLE_BLOCK).float().mean(dim=1)
        cost = size / dim + float(torch.where(shares > FEW, 1.0, 2 * shares).mean())
        if cost < best_cost:
            best_cost, best_size = cost, size
    return directions[:, : best_size - 1] if best_size else None
