"""Ranks of the positives of every query, by counting the negatives above them instead of sorting the gallery."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from hf_vitret.evaluation.ranking.checked_order import checked_class_order
from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.ranked_block import PositiveRanks, positives_of, query_blocks, to_ranks
from hf_vitret.evaluation.ranking.symmetric_ranks import SINGLE_PROCESS, ProcessGroup, symmetric_ranks
from hf_vitret.evaluation.ranking.tiles import Tiles, check_tile_size
from hf_vitret.evaluation.ranking.wanted_ranks import TieRule, Wanted
from hf_vitret.search.exact_codes import Identifiers

# Number of thresholds of all queries held at once if each pair is scored once, as float32 and an int64 count: 16M are
# 192 MB (SOP has 0.4M).
_MAX_SYMMETRIC_THRESHOLDS = 16_000_000


class ProcessGroupError(ValueError):
    """Several processes cannot rank these queries with each pair scored once; `ShardedRanks` can rank them."""


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
    process_group: ProcessGroup = SINGLE_PROCESS,
) -> Iterator[PositiveRanks]:
    """Yield the 0-based ranks of the positives of each query in the gallery, a block of queries at a time.

    The rank of a positive is the number of positives of the query ahead of it, plus the number of negatives whose score
    is at least as high, within `TIE_TOLERANCE`. So ties are pessimistic: a negative that ties with a positive ranks
    ahead of it, and a model that maps every image to one point scores 0 and not 1.

    A score is the inner product in float64, rounded to float32. Float32 matrix products only decide the pairs whose
    score is far enough from a threshold. The ranks are therefore the same for every tile size, number of threads and
    device.

    Only ranks that a metric can use are counted. The rank of the best positive is exact (except with `cutoffs`), and so
    is every rank below R, the number of positives. The others are `UNRESOLVED` unless `every_rank` is set. Without a
    gallery the matrix of scores is symmetric, and each pair is scored once: only the tiles on and above the diagonal
    are computed, and each tile counts for its rows and for its columns.

    Args:
        embeddings: `(num_queries, dim)` float, the embeddings of the queries. Scores are inner products of the rows as
            given.
        labels: `(num_queries,)` integers or strings, the class of each query; integers of any size stay exact.
        gallery_embeddings: `(num_gallery, dim)` float, the embeddings of the items to search. `None`: every item is a
            query, and searches all the others.
        gallery_labels: `(num_gallery,)`, of the same kind as `labels`.
        query_ids: `(num_queries,)` integers, strings or tuples. A gallery item with the id of the query is left out of
            its list.
        gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`. Both or neither, and only with a gallery.
        every_rank: Resolve all ranks, which takes longer if classes are large.
        best_only: Resolve only the rank of the best positive, which is all that R@k needs.
        cutoffs: The cut-offs of R@k, if the rank of the best positive is used for nothing else. At or beyond the last
            cut-off, and beyond R, this rank may be `UNRESOLVED`; with `best_only` it may also be any rank between the
            same two cut-offs. `None`: it is exact.
        ties: `"pessimistic"` or `"optimistic"`: a negative that ties with a positive ranks ahead of it, or behind it.
        tile_size: Rows and columns of a tile of scores, a positive multiple of 8. `None` takes what suits the device.
        process_group: The processes that share the work, each with all the embeddings; only without a gallery.

    Yields:
        Blocks that cover every query once, ordered by class size.

    Raises:
        TypeError: Embeddings are not floats, or labels or ids are floats.
        ValueError: Shapes do not match, an embedding is NaN or infinite, labels or ids come without their counterpart,
            or arguments contradict each other. It is a `ProcessGroupError` if a process group of several processes has
            a gallery or too many positives.
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
        return symmetric_ranks(order, blocks, wanted, process_group)
    if process_group is not SINGLE_PROCESS:
        received = f"{num_thresholds:,} positives" + ("" if gallery_embeddings is None else " and a gallery")
        raise ProcessGroupError(
            f"a process group needs the queries to be the gallery, and at most {_MAX_SYMMETRIC_THRESHOLDS:,} positives "
            f"to count for, got {received}. Use ShardedRanks, which takes any gallery and any number of positives."
        )
    return _rectangular_ranks(order, tile_size, wanted)


@torch.no_grad()
def _rectangular_ranks(order: ClassOrder, tile_size: int, wanted: Wanted) -> Iterator[PositiveRanks]:
    """Yield the ranks of one block of queries after another, each scored with the whole gallery."""
    tiles = Tiles(order, tile_size**2)
    for start, stop in query_blocks(order.num_queries, tile_size, order.width):
        thresholds, num_positives = positives_of(order, start, stop, wanted)
        counts = wanted.begin_counts(thresholds, num_positives)
        tiles.count_gallery((start, stop), counts)
        yield to_ranks(order.query_order[start:stop], counts, num_positives)
