"""Bounds on scores from a part of the dimensions: most pairs are far apart, and need no whole product to be told so."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.search.inner_products import inner_products

# Dimensions that are tried, as shares of all.
_SHARES = (1 / 12, 1 / 6, 1 / 4, 1 / 3, 1 / 2)
# Queries and items of the sample that they are tried on, and rows that the directions are found from.
_SAMPLE_QUERIES, _SAMPLE_ITEMS, _MOMENT_ROWS = 512, 1_024, 8_192
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
    rests' lengths. Where the sum of the two stays below what a score must reach, no whole product is needed. The
    directions are those of the largest second moments, so that the rests are short: in trained embeddings, whose
    variance lies in few directions, very short.

    Attributes:
        rows: `(num_rows, num_leading)` float32.
        rests: `(num_rows,)` float32, no shorter than what is left of each row.
    """

    rows: torch.Tensor
    rests: torch.Tensor

    @classmethod
    def of(cls, rows: torch.Tensor, directions: torch.Tensor, first: int = 0, step: int = 1) -> LeadingPart:
        """Turn rows and cut them.

        Args:
            rows: `(num_rows, dim)` float32.
            directions: `(dim, num_leading)` float64, orthonormal columns.
            first: First of the blocks of rows to turn; the others stay zero.
            step: How many blocks further on the next one is.
        """
        found = cls(
            torch.zeros(len(rows), directions.shape[1], device=rows.device), torch.zeros(len(rows), device=rows.device)
        )
        for start in range(first * _BLOCK, len(rows), step * _BLOCK):
            whole = rows[start : start + _BLOCK].double()
            part = whole @ directions
            found.rows[start : start + len(part)] = part
            squared = whole.square().sum(dim=1)
            rest = squared - part.square().sum(dim=1) + _SQUARED_ROUNDING * squared
            found.rests[start : start + len(part)] = rest.sqrt()
        return found

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
        query_rests, item_rests = self.rests[slice(*queries)], self.rests[slice(*items)]
        inner_products(self.rows[slice(*queries)], self.rows[slice(*items)], out=out)
        return (
            out.amax(dim=1) + query_rests * item_rests.max(),
            out.amax(dim=0) + item_rests * query_rests.max(),
        )


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
    if len(rows) < _SAMPLE_QUERIES + _SAMPLE_ITEMS:
        return None
    drawn = torch.randperm(len(rows), generator=generator)[:_MOMENT_ROWS].to(rows.device)
    some = rows[drawn].double()
    directions = torch.linalg.eigh(some.T @ some).eigenvectors.flip(1)  # (dim, dim), the largest moment first
    best_cost, best_size = _WORTHWHILE, 0
    for size in sorted({max(8, int(dim * share) // 8 * 8) for share in _SHARES}):
        part = LeadingPart.of(some[: _SAMPLE_QUERIES + _SAMPLE_ITEMS].float(), directions[:, :size])
        scores = torch.empty(_SAMPLE_QUERIES, _SAMPLE_ITEMS, device=rows.device)
        most = part.bounds((0, _SAMPLE_QUERIES), (_SAMPLE_QUERIES, len(part.rows)), scores)[0]
        queries = drawn[:_SAMPLE_QUERIES]
        share_left = float((most + order.margins[queries] >= lowest[queries]).float().mean())
        cost = size / dim + 2 * share_left
        if cost < best_cost:
            best_cost, best_size = cost, size
    return directions[:, :best_size] if best_size else None
