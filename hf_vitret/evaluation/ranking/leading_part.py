"""Bounds on scores from a part of the dimensions: most pairs are far apart, and need no whole product to be told so."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.threshold_counts import FEW
from hf_vitret.search.inner_products import inner_products

# Columns that are tried, as shares of all dimensions.
_SHARES = tuple(number / 24 for number in (1, 2, 3, 4, 5, 6, 8, 10, 12))
# Queries of the sample that they are tried on, as blocks of so many; its items; and the most rows that the directions
# are found from. Other rows than the sample's: 8,192 of 384 dimensions fit themselves better than what comes after.
_SAMPLE_QUERIES, _SAMPLE_BLOCK, _SAMPLE_ITEMS, _MOMENT_ROWS = 512, 64, 1_536, 8_192
# Rows turned at once.
_BLOCK = 4_096
# What a part must save: a tile that it cannot settle costs its product and the whole one.
_WORTHWHILE = 0.8
# The length of a part in float32 is right to this share of the whole row's length, squared.
_SQUARED_ROUNDING = 2.5e-7


@dataclass(frozen=True)
class LeadingPart:
    """The rows of a query set, turned so that few dimensions hold most of their length, and cut to these.

    An inner product is that of the leading parts plus that of the rests, and the second is at most the product of the
    rests' lengths. With that length as one more column, one product of the short rows bounds each score from above:
    where it stays below what a score must reach, no whole product is needed. The directions are those of the largest
    second moments, so that the rests are short: in trained embeddings, whose variance lies in few directions, very
    short.

    Attributes:
        rows: `(num_rows, num_leading + 1)` float32, in the last column no less than the length of what is left of each.
    """

    rows: torch.Tensor

    @classmethod
    def of(cls, rows: torch.Tensor, directions: torch.Tensor, first: int = 0, step: int = 1) -> LeadingPart:
        """Turn rows and cut them.

        Args:
            rows: `(num_rows, dim)` float32.
            directions: `(dim, num_leading)` float64, orthonormal columns.
            first: First of the blocks of rows to turn; the others stay zero.
            step: How many blocks further on the next one is.
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
        """Return the part of fewer dimensions: `num_columns` with the rests, at most as many as there are."""
        rests = self.rows[:, num_columns - 1 :].square().sum(dim=1).sqrt()
        return LeadingPart(torch.cat([self.rows[:, : num_columns - 1], rests.unsqueeze(1)], dim=1))

    def bounds(
        self, queries: tuple[int, int], items: tuple[int, int], out: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Bound the scores of some rows with some others, from above, but for the error of a float32 product.

        Args:
            queries: First row, and one past the last.
            items: The same of the others.
            out: `(num_queries, num_items)` float32, overwritten.

        Returns:
            The most that any score may be, of each query, `(num_queries,)`, and of each item, `(num_items,)`.
        """
        inner_products(self.rows[slice(*queries)], self.rows[slice(*items)], out=out)
        return out.amax(dim=1), out.amax(dim=0)


def choose_directions(order: ClassOrder, lowest: torch.Tensor) -> torch.Tensor | None:
    """Find which leading dimensions save the most, on a sample of the pairs.

    Args:
        order: A query set that is its own gallery.
        lowest: `(num_queries,)` float32, what a score must reach to matter to each query, in the order's order.

    Returns:
        Their directions, as `LeadingPart.of` takes them; `None` where whole products are cheaper.
    """
    rows = order.queries
    dim, generator = rows.shape[1], torch.Generator().manual_seed(0)  # of the cost alone: results do not depend on it
    if len(rows) < 2 * (_SAMPLE_QUERIES + _SAMPLE_ITEMS):
        return None
    drawn = torch.randperm(len(rows), generator=generator).to(rows.device)
    moments = torch.zeros(dim, dim, device=rows.device)
    for some in torch.split(drawn[_SAMPLE_QUERIES + _SAMPLE_ITEMS :][:_MOMENT_ROWS], _BLOCK):
        moments += inner_products(rows[some].T, rows[some].T)
    directions = torch.linalg.eigh(moments.double()).eigenvectors.flip(1)  # (dim, dim), the largest moment first
    # Ascending, as blocks of queries are: those of small classes find little that is near, and keep more to look at.
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
