"""Ranks of every query's right items, found by counting the wrong items above them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from hf_vitret.evaluation.class_order import ClassOrder
from hf_vitret.evaluation.exact_scores import ExactScores
from hf_vitret.evaluation.scored_tile import ScoredTile
from hf_vitret.evaluation.threshold_counts import ThresholdCounts
from hf_vitret.search.exact_codes import Identifiers, exact_codes, paired_ids
from hf_vitret.search.inner_products import check_embeddings, check_same_dim, inner_products

# Scores closer than this are ties (for unit-norm rows; else times both norms). The scores of two rows are exact, but
# not the rows: a ViT embeds one image up to 2.9e-7 apart, in an entry, in batches of 1 and of 64 (32 to 384
# dimensions, on a CPU). It is still 30 times finer than a bf16 score.
TIE_TOLERANCE = 2e-6

UNRESOLVED = torch.iinfo(torch.int64).max
"""The rank of a padded entry, and of a positive known only to rank at or beyond R."""

# Rows and columns of a tile of scores: on a CPU 4 MiB, which stays in cache between product and comparison;
# on CUDA 256 MiB, enough to hide the launches.
TILE_SIZE = {"cpu": 1_024, "cuda": 8_192}
# Thresholds held at once, as float32 and an int64 count: 4M of them are 48 MB for a block of queries, and 16M
# 192 MB for all queries together (SOP has 0.4M).
_MAX_THRESHOLDS = 4_000_000
_MAX_SYMMETRIC_THRESHOLDS = 16_000_000


@dataclass(frozen=True)
class PositiveRanks:
    """The ranks of the positives of a block of queries.

    Attributes:
        queries: `(block,)` int64 rows of the query embeddings.
        ranks: `(block, max_positives)` int64, ascending along a row, 0 is the top of the list. Column j holds
            the rank of the j-th best positive; `UNRESOLVED` fills the row's end.
        num_positives: `(block,)` int64, R in the formulas. 0 where the query has nothing to find.
    """

    queries: torch.Tensor
    ranks: torch.Tensor
    num_positives: torch.Tensor


def positive_ranks(
    embeddings: torch.Tensor,
    labels: Identifiers,
    gallery_embeddings: torch.Tensor | None = None,
    gallery_labels: Identifiers | None = None,
    *,
    query_ids: Identifiers | None = None,
    gallery_ids: Identifiers | None = None,
    every_rank: bool = False,
    tile_size: int | None = None,
) -> Iterator[PositiveRanks]:
    """Yield the 0-based ranks of each query's positives in the gallery, a block of queries at a time.

    A positive's rank is its place among the query's positives plus the number of wrong items that score at
    least as high, within `TIE_TOLERANCE`. Ties are thus pessimistic: a wrong item that ties with a right one
    ranks ahead of it, so a model that maps every image to one point scores nothing instead of everything.

    A score is the inner product in float64, rounded to float32; matrix products in float32 only find the pairs whose
    score is beyond doubt. The ranks are therefore the same for every tile size, number of threads and device.

    Only what a metric can use is counted. The best positive's rank is always exact, and so is every rank
    below R, the number of positives; the others are `UNRESOLVED` unless `every_rank` asks for them. Each pair
    of items is scored once: without a gallery the matrix is symmetric, so only its upper triangle of tiles is
    computed, and a tile serves its rows and its columns.

    Args:
        embeddings: `(num_queries, dim)` float, the queries. Scores are inner products of the rows as given.
        labels: `(num_queries,)` integers or strings, exact whatever their size.
        gallery_embeddings: `(num_gallery, dim)` float. None: every item queries all the others.
        gallery_labels: `(num_gallery,)`, of the same kind as `labels`.
        query_ids: `(num_queries,)`; a gallery item with the id of the query is neither right nor wrong, but
            absent.
        gallery_ids: `(num_gallery,)`. Both or neither, and only with a gallery.
        every_rank: Resolve all the ranks: slower where classes are large.
        tile_size: Rows and columns of a tile of scores, a positive multiple of 8. None: what suits the
            device.

    Yields:
        Blocks that cover every query once, in an order of their own (by class size).

    Raises:
        TypeError: Embeddings are not floats, or labels or ids are.
        ValueError: Shapes do not match, an embedding is not finite, or arguments that belong together do not
            come so.
    """
    check_embeddings(embeddings, "embeddings")
    leave_one_out = gallery_embeddings is None
    if (gallery_embeddings is None) != (gallery_labels is None):
        raise ValueError("gallery_embeddings and gallery_labels must come together: pass both or neither.")
    if leave_one_out and (query_ids is not None or gallery_ids is not None):
        raise ValueError(
            "query_ids and gallery_ids need a gallery. Without one each item is left out of its own list by "
            "position: leave them out, or pass the gallery."
        )
    device = embeddings.device
    if gallery_embeddings is None or gallery_labels is None:
        (query_codes,) = exact_codes(labels, name="labels", device=device)
        gallery_embeddings, gallery_codes = embeddings, query_codes
        positions = torch.arange(len(embeddings), device=device)
        ids: tuple[torch.Tensor, torch.Tensor] | None = (positions, positions)
    else:
        check_embeddings(gallery_embeddings, "gallery_embeddings")
        check_same_dim(embeddings, gallery_embeddings)
        query_codes, gallery_codes = exact_codes(labels, gallery_labels, name="labels", device=device)
        ids = paired_ids(query_ids, gallery_ids, len(embeddings), len(gallery_embeddings), device)
    for name, codes, rows in (
        ("labels", query_codes, len(embeddings)),
        ("gallery_labels", gallery_codes, len(gallery_embeddings)),
    ):
        if len(codes) != rows:
            raise ValueError(f"{name} must have one label for each of the {rows} embeddings, got {len(codes)}.")
    tile_size = check_tile_size(tile_size, device)

    order = ClassOrder(embeddings, query_codes, gallery_embeddings, gallery_codes, ids)
    num_queries = len(embeddings)
    blocks = [(start, min(start + tile_size, num_queries)) for start in range(0, num_queries, tile_size)]
    num_thresholds = sum((stop - start) * order.width(start, stop) for start, stop in blocks)
    if leave_one_out and num_thresholds <= _MAX_SYMMETRIC_THRESHOLDS:
        return _symmetric_ranks(order, blocks, every_rank)
    return _rectangular_ranks(order, tile_size, every_rank)


@torch.no_grad()
def _symmetric_ranks(order: ClassOrder, blocks: list[tuple[int, int]], every_rank: bool) -> Iterator[PositiveRanks]:
    """Rank all items against each other, from the tiles on and above the diagonal alone."""
    tiles = Tiles(order, (blocks[0][1] - blocks[0][0] + 7) ** 2)
    counts = [_thresholds(order, *block, every_rank) for block in blocks]
    # The diagonal first: it shows every query a share of the gallery, which drops most thresholds.
    for block, own in zip(blocks, counts, strict=True):
        tiles.count(block, block, own)
    for row, block in enumerate(blocks):
        for column in range(row + 1, len(blocks)):
            tiles.count(block, blocks[column], counts[row], counts[column])
        yield to_ranks(order.query_order[slice(*block)], counts[row])


@torch.no_grad()
def _rectangular_ranks(order: ClassOrder, tile_size: int, every_rank: bool) -> Iterator[PositiveRanks]:
    """Rank the gallery for one block of queries after another."""
    tiles = Tiles(order, tile_size**2)
    for start, stop in query_blocks(order.num_queries, tile_size, order.width):
        counts = _thresholds(order, start, stop, every_rank)
        tiles.count_gallery((start, stop), counts)
        yield to_ranks(order.query_order[start:stop], counts)


def query_blocks(num_queries: int, tile_size: int, width: Callable[[int, int], int]) -> Iterator[tuple[int, int]]:
    """Cut queries into blocks that fit a tile and hold few enough thresholds.

    Args:
        num_queries: How many there are, in the order of class size.
        tile_size: Queries of a block at most.
        width: Gives the thresholds of a query of the block `start`, `stop`.
    """
    start = 0
    while start < num_queries:
        stop = min(start + tile_size, num_queries)
        while stop - start > 1 and (stop - start) * width(start, stop) > _MAX_THRESHOLDS:
            stop = start + (stop - start) // 2
        yield start, stop
        start = stop


def check_tile_size(tile_size: int | None, device: torch.device) -> int:
    """Return the rows and columns of a tile of scores, those that suit the device for None.

    Raises:
        ValueError: Not a positive multiple of 8.
    """
    if tile_size is None:
        return TILE_SIZE.get(device.type, TILE_SIZE["cuda"])
    if tile_size < 1 or tile_size % 8:
        raise ValueError(f"tile_size must be a positive multiple of 8, got {tile_size}.")
    return tile_size


class Tiles:
    """One tile of scores and one of comparisons, used over and over."""

    def __init__(self, order: ClassOrder, num_scores: int) -> None:
        self._order = order
        self._scores = torch.empty(num_scores, device=order.queries.device)
        self._hits = torch.empty(num_scores, dtype=torch.bool, device=order.queries.device)

    def count_gallery(self, queries: tuple[int, int], counts: ThresholdCounts) -> None:
        """Score a block of queries with the whole gallery, and count."""
        num_columns = len(self._scores) // (queries[1] - queries[0]) // 8 * 8
        for first in range(0, self._order.num_gallery, num_columns):
            self.count(queries, (first, min(first + num_columns, self._order.num_gallery)), counts)

    def count(
        self,
        queries: tuple[int, int],
        gallery: tuple[int, int],
        row_counts: ThresholdCounts,
        column_counts: ThresholdCounts | None = None,
    ) -> None:
        """Score a block of queries with a block of gallery rows, and count for the first, or for both."""
        (start, stop), (first, last) = queries, gallery
        if self._order.is_all_positive(start, stop, first, last):
            return
        shape = (stop - start, last - first + (first - last) % 8)
        scores, hits = (buffer[: shape[0] * shape[1]].view(shape) for buffer in (self._scores, self._hits))
        block, items = self._order.queries[start:stop], self._order.gallery[first : first + shape[1]]
        inner_products(block, items, out=scores)
        self._order.hide(scores, start, stop, first, last)
        exact, margins = ExactScores(block, items), self._order.margins
        row_counts.add(ScoredTile(scores, hits, 0, exact, margins[start:stop]))
        if column_counts is not None:  # the gallery is the query set
            column_counts.add(ScoredTile(scores, hits, 1, exact.transposed, margins[first:last]))


def _thresholds(order: ClassOrder, start: int, stop: int, every_rank: bool) -> ThresholdCounts:
    """Return counts, still zero, with a threshold just below the score of each positive of the queries."""
    thresholds, num_positives = order.positive_scores(start, stop, TIE_TOLERANCE)
    if not order.is_all_positive(start, stop, 0, order.num_gallery):  # else no score matters
        thresholds = thresholds.sort(dim=1, descending=True).values
    return begin_counts(thresholds, num_positives, every_rank)


def begin_counts(thresholds: torch.Tensor, num_positives: torch.Tensor, every_rank: bool) -> ThresholdCounts:
    """Return counts, still zero, that drop a threshold at the rank R, or never."""
    limits = torch.full_like(num_positives, UNRESOLVED) if every_rank else num_positives
    return ThresholdCounts(thresholds, num_positives, limits)


def to_ranks(queries: torch.Tensor, counts: ThresholdCounts) -> PositiveRanks:
    """Add the positives ahead of each positive to the wrong items counted ahead of it."""
    places = torch.arange(counts.above.shape[1], device=counts.above.device)
    is_exact = (places <= counts.level.unsqueeze(1)) & (counts.num_thresholds > 0).unsqueeze(1)
    ranks = (counts.above + places).masked_fill_(~is_exact, UNRESOLVED)
    return PositiveRanks(queries, ranks, counts.num_thresholds)
