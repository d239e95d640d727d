"""Tiles of scores: their size, and their computation one after another for the objects that count the scores."""

from __future__ import annotations

import math
from typing import Protocol

import torch

from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.exact_scores import ExactScores
from hf_vitret.evaluation.ranking.leading_part import LeadingPart
from hf_vitret.evaluation.ranking.scored_tile import ScoredTile
from hf_vitret.evaluation.ranking.threshold_counts import FEW
from hf_vitret.search.inner_products import inner_products

# Rows and columns of a tile of scores. On a CPU a tile has 4 MiB, small enough to stay in the cache until it is
# compared; on CUDA 256 MiB, enough to hide the launches of the kernels. R@k of 60,502 x 384, trained (classes apart)
# and untrained, on two cores of an EPYC, medians of two in turn: 2.83 and 8.4 s with 768, 2.90 and 8.7 with 1,024, 2.96
# and 8.9 with 1,280, 3.15 and 8.9 with 1,536.
TILE_SIZE = {"cpu": 1_024, "cuda": 8_192}
_BYTES_OF_SCORE = 8


def check_tile_size(tile_size: int | None, device: torch.device) -> int:
    """Return the rows and columns of a tile of scores; for `None`, those that suit the device.

    Raises:
        ValueError: The size is not a positive multiple of 8.
    """
    if tile_size is None:
        return TILE_SIZE.get(device.type, TILE_SIZE["cuda"])
    if tile_size < 1 or tile_size % 8:
        raise ValueError(
            f"tile_size must be a positive multiple of 8, got {tile_size}. Pass None for what suits the device."
        )
    return tile_size


def tile_size_within(memory_budget: int | None) -> int | None:
    """Return the size of the largest tile whose scores and comparison buffer fit in so many bytes; `None` for `None`.

    Raises:
        ValueError: The budget is less than the 512 bytes of 8 by 8 scores.
    """
    if memory_budget is None:
        return None
    tile_size = math.isqrt(max(0, memory_budget) // _BYTES_OF_SCORE) // 8 * 8
    if not tile_size:
        raise ValueError(
            f"memory_budget must be 512 bytes or more, got {memory_budget}. Pass 8 MiB (2**23) for tiles of 1,024 by "
            "1,024 scores."
        )
    return tile_size


class TileCounts(Protocol):
    """An object that counts the scores of a block of queries, tile by tile."""

    lowest: torch.Tensor
    """`(num_queries,)` float32, the score that must be reached to be counted; infinity: none is counted."""

    def add(self, tile: ScoredTile) -> None:
        """Count the scores of a tile that has all queries of the block."""

    def add_to(self, rows: torch.Tensor, tile: ScoredTile) -> object:
        """Count the scores of a tile that has only the queries `rows`, `(num_rows,)` int64."""


class Tiles:
    """Computes tiles of scores in one buffer, with a second one for comparisons.

    Args:
        order: The sorted queries and gallery.
        num_scores: Number of scores in the largest tile.

    Attributes:
        leading: Projections that bound the scores of two blocks of queries; `None` computes all scores.
    """

    def __init__(self, order: ClassOrder, num_scores: int) -> None:
        self._order = order
        self._scores = torch.empty(num_scores, device=order.queries.device)
        self._scratch = torch.empty(num_scores, device=order.queries.device)
        self.leading: LeadingPart | None = None

    def count_gallery(self, queries: tuple[int, int], counts: TileCounts) -> None:
        """Score a block of queries with the whole gallery, and count.

        Args:
            queries: The first query, and one past the last query.
            counts: The counts of these queries.
        """
        num_columns = len(self._scores) // (queries[1] - queries[0]) // 8 * 8
        for first in range(0, self._order.num_gallery, num_columns):
            self.count(queries, (first, min(first + num_columns, self._order.num_gallery)), counts)

    def count(
        self,
        queries: tuple[int, int],
        gallery: tuple[int, int],
        row_counts: TileCounts,
        column_counts: TileCounts | None = None,
    ) -> None:
        """Score a block of queries with a block of gallery rows, and count for the queries, or for both.

        Args:
            queries: The first query, and one past the last query.
            gallery: The first gallery row, and one past the last.
            row_counts: The counts of the queries.
            column_counts: The counts of the gallery rows as queries, if the gallery is the query set.
        """
        (start, stop), (first, last) = queries, gallery
        if self._order.is_all_positive(start, stop, first, last):
            return
        if column_counts is not None and self._count_few(queries, gallery, row_counts, column_counts):
            return
        shape = (stop - start, last - first + (first - last) % 8)
        scores, scratch = (buffer[: shape[0] * shape[1]].view(shape) for buffer in (self._scores, self._scratch))
        block, items = self._order.queries[start:stop], self._order.gallery[first : first + shape[1]]
        inner_products(block, items, out=scores)
        self._order.hide(scores, start, stop, first, last)
        exact, margins = ExactScores(block, items), self._order.margins
        row_counts.add(ScoredTile(scores, scratch, 0, exact, margins[start:stop]))
        if column_counts is not None:  # the gallery is the query set
            column_counts.add(ScoredTile(scores, scratch, 1, exact.transposed, margins[first:last]))

    def _count_few(
        self,
        queries: tuple[int, int],
        gallery: tuple[int, int],
        row_counts: TileCounts,
        column_counts: TileCounts,
    ) -> bool:
        """Count for two blocks if only few queries of each need scores with the other block.

        Returns:
            Whether the scores were counted; if not, too many queries need them.
        """
        if not self._order.is_all_wrong(*queries, *gallery):
            return False
        sides = ((queries, gallery, row_counts), (gallery, queries, column_counts))
        left = [counts.lowest < torch.inf for _, _, counts in sides]  # queries with a threshold left
        if self.leading is not None and any(_are_many(each) for each in left):
            shape = (queries[1] - queries[0], gallery[1] - gallery[0])
            bounds = self.leading.bounds(queries, gallery, self._scores[: shape[0] * shape[1]].view(shape))
            left = [
                most + self._order.margins[slice(*own)] >= counts.lowest
                for (own, _, counts), most in zip(sides, bounds, strict=True)
            ]
        if any(_are_many(each) for each in left):
            return False
        for (own, other, counts), is_left in zip(sides, left, strict=True):
            rows = is_left.nonzero().squeeze(1)
            if len(rows):
                counts.add_to(rows, self._of_rows(own, other, rows))
        return True

    def _of_rows(self, own: tuple[int, int], other: tuple[int, int], rows: torch.Tensor) -> ScoredTile:
        """Score some queries of one block with all queries of another.

        Args:
            own: The first query of the block, and one past its last query.
            other: The first and one past the last query of the other block.
            rows: `(num_rows,)` int64, positions of the queries in their block.
        """
        block, items = self._order.queries[slice(*own)][rows], self._order.queries[slice(*other)]
        scores, scratch = (
            buffer[: len(rows) * len(items)].view(len(rows), len(items)) for buffer in (self._scores, self._scratch)
        )
        inner_products(block, items, out=scores)
        margins = self._order.margins[slice(*own)][rows]
        return ScoredTile(scores, scratch, 0, ExactScores(block, items), margins)


def _are_many(is_left: torch.Tensor) -> bool:
    return int(is_left.sum()) > FEW * len(is_left)
