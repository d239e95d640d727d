"""Ranks of every query's right items, found by counting the wrong items above them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from hf_vitret.evaluation.ranking.checked_order import checked_class_order
from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.ranked_block import PositiveRanks, positives_of, query_blocks, to_ranks
from hf_vitret.evaluation.ranking.symmetric_ranks import ALONE, Team, symmetric_ranks
from hf_vitret.evaluation.ranking.tiles import Tiles, check_tile_size
from hf_vitret.evaluation.ranking.wanted_ranks import TieRule, Wanted
from hf_vitret.search.exact_codes import Identifiers

# Thresholds of all queries held at once where each pair is scored once, as float32 and an int64 count: 16M are 192 MB
# (SOP has 0.4M).
_MAX_SYMMETRIC_THRESHOLDS = 16_000_000


class NoTeamError(ValueError):
    """A set of queries that several processes cannot rank together by halves; `ShardedRanks` can."""


def positive_ranks(
    embeddings: torch.Tensor,
    labels: Identifiers,
    gallery_embeddings: torch.Tensor | None = None,
    gallery_labels: Identifiers | None = None,
    *,
    query_ids: Identifiers | None = None,
    gallery_ids: Identifiers | None = None,
    every_rank: bool = False,
    best_only: bool = False,
    cutoffs: Sequence[int] | None = None,
    ties: TieRule = "pessimistic",
    tile_size: int | None = None,
    team: Team = ALONE,
) -> Iterator[PositiveRanks]:
    """Yield the 0-based ranks of each query's positives in the gallery, a block of queries at a time.

    A positive's rank is its place among the query's positives plus the number of wrong items that score at
    least as high, within `TIE_TOLERANCE`. Ties are thus pessimistic: a wrong item that ties with a right one
    ranks ahead of it, so a model that maps every image to one point scores nothing instead of everything.

    A score is the inner product in float64, rounded to float32; matrix products in float32 only find the pairs whose
    score is beyond doubt. The ranks are therefore the same for every tile size, number of threads and device.

    Only what a metric can use is counted. The best positive's rank is exact (but for `cutoffs`), and so is every rank
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
        best_only: Resolve the best positive's rank and no other: all that R@K needs.
        cutoffs: The ks of R@k where nothing else is made of the best positive's rank: at or beyond the last of them,
            and beyond R, it may be left `UNRESOLVED`; with `best_only` it may also be another one between the same two
            cut-offs. None: it is exact.
        ties: `"pessimistic"`, or `"optimistic"`: a wrong item that ties with a right one ranks behind it.
        tile_size: Rows and columns of a tile of scores, a positive multiple of 8. None: what suits the
            device.
        team: Processes that share the work, each with all the embeddings; without a gallery.

    Yields:
        Blocks that cover every query once, in an order of their own (by class size).

    Raises:
        TypeError: Embeddings are not floats, or labels or ids are.
        ValueError: Shapes do not match, an embedding is not finite, or arguments that belong together do not
            come so, or contradict each other. A `NoTeamError` where a team has a gallery or too many positives.
    """
    wanted = Wanted(every_rank, best_only, cutoffs, ties)
    order = checked_class_order(
        embeddings, labels, gallery_embeddings, gallery_labels, query_ids=query_ids, gallery_ids=gallery_ids
    )
    tile_size = check_tile_size(tile_size, embeddings.device)
    num_queries = len(embeddings)
    blocks = [(start, min(start + tile_size, num_queries)) for start in range(0, num_queries, tile_size)]
    num_thresholds = sum((stop - start) * (1 if best_only else order.width(start, stop)) for start, stop in blocks)
    if gallery_embeddings is None and num_thresholds <= _MAX_SYMMETRIC_THRESHOLDS:
        return symmetric_ranks(order, blocks, wanted, team)
    if team is not ALONE:
        raise NoTeamError(
            f"a team needs the queries to be the gallery, and at most {_MAX_SYMMETRIC_THRESHOLDS:,} positives to "
            f"count for, got {num_thresholds:,}. ShardedRanks takes any number of processes, and any gallery."
        )
    return _rectangular_ranks(order, tile_size, wanted)


@torch.no_grad()
def _rectangular_ranks(order: ClassOrder, tile_size: int, wanted: Wanted) -> Iterator[PositiveRanks]:
    """Rank the gallery for one block of queries after another."""
    tiles = Tiles(order, tile_size**2)
    for start, stop in query_blocks(order.num_queries, tile_size, order.width):
        thresholds, num_positives = positives_of(order, start, stop, wanted)
        counts = wanted.begin_counts(thresholds, num_positives)
        tiles.count_gallery((start, stop), counts)
        yield to_ranks(order.query_order[start:stop], counts, num_positives)
