"""Ranks of every query's right items, found by counting the wrong items above them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from hf_vitret.evaluation.ranking.checked_order import checked_class_order
from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.leading_part import choose_leading_part
from hf_vitret.evaluation.ranking.threshold_counts import ThresholdCounts
from hf_vitret.evaluation.ranking.tiles import Tiles, check_tile_size
from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED, TieRule, Wanted
from hf_vitret.search.exact_codes import Identifiers

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


# Shares of the work after which a team's processes tell each other what they have counted: early, when most is dropped.
_MEETINGS = (0.03, 0.1, 0.25, 0.5)


class NoTeamError(ValueError):
    """A set of queries that several processes cannot rank together by halves; `ShardedRanks` can."""


@dataclass(frozen=True)
class Team:
    """Processes that score the same embeddings together, each its share of the tiles.

    Attributes:
        rank: Which of them this is, from 0.
        size: How many they are.
        sum: Adds a tensor over all of them, and gives each the sum.
        max: The same with the largest.
    """

    rank: int
    size: int
    sum: Callable[[torch.Tensor], torch.Tensor]
    max: Callable[[torch.Tensor], torch.Tensor]


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
    max_rank: int | None = None,
    ties: TieRule = "pessimistic",
    tile_size: int | None = None,
    team: Team | None = None,
) -> Iterator[PositiveRanks]:
    """Yield the 0-based ranks of each query's positives in the gallery, a block of queries at a time.

    A positive's rank is its place among the query's positives plus the number of wrong items that score at
    least as high, within `TIE_TOLERANCE`. Ties are thus pessimistic: a wrong item that ties with a right one
    ranks ahead of it, so a model that maps every image to one point scores nothing instead of everything.

    A score is the inner product in float64, rounded to float32; matrix products in float32 only find the pairs whose
    score is beyond doubt. The ranks are therefore the same for every tile size, number of threads and device.

    Only what a metric can use is counted. The best positive's rank is exact (below `max_rank`), and so is every rank
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
        max_rank: A best positive at this rank or beyond, and beyond R, may be left `UNRESOLVED`. None: resolve it.
        ties: `"pessimistic"`, or `"optimistic"`: a wrong item that ties with a right one ranks behind it.
        tile_size: Rows and columns of a tile of scores, a positive multiple of 8. None: what suits the
            device.
        team: Processes that share the work, each with all the embeddings; without a gallery. None: this one alone.

    Yields:
        Blocks that cover every query once, in an order of their own (by class size).

    Raises:
        TypeError: Embeddings are not floats, or labels or ids are.
        ValueError: Shapes do not match, an embedding is not finite, or arguments that belong together do not
            come so, or contradict each other. A `NoTeamError` where a team has a gallery or too many positives.
    """
    wanted = Wanted(every_rank, best_only, max_rank, ties)
    order = checked_class_order(
        embeddings, labels, gallery_embeddings, gallery_labels, query_ids=query_ids, gallery_ids=gallery_ids
    )
    tile_size = check_tile_size(tile_size, embeddings.device)
    num_queries = len(embeddings)
    blocks = [(start, min(start + tile_size, num_queries)) for start in range(0, num_queries, tile_size)]
    num_thresholds = sum((stop - start) * (1 if best_only else order.width(start, stop)) for start, stop in blocks)
    if gallery_embeddings is None and num_thresholds <= _MAX_SYMMETRIC_THRESHOLDS:
        return _symmetric_ranks(order, blocks, wanted, team)
    if team is not None:
        raise NoTeamError(
            f"a team needs the queries to be the gallery, and at most {_MAX_SYMMETRIC_THRESHOLDS:,} positives to "
            f"count for, got {num_thresholds:,}. ShardedRanks takes any number of processes, and any gallery."
        )
    return _rectangular_ranks(order, tile_size, wanted)


@torch.no_grad()
def _symmetric_ranks(
    order: ClassOrder, blocks: list[tuple[int, int]], wanted: Wanted, team: Team | None
) -> Iterator[PositiveRanks]:
    """Rank all items against each other, from the tiles on and above the diagonal alone."""
    tiles = Tiles(order, (blocks[0][1] - blocks[0][0] + 7) ** 2)
    positives = _all_positives(order, blocks, wanted, team)
    counts = [wanted.begin_counts(*each) for each in positives]
    # The diagonal first: it shows every query a share of the gallery, which drops most thresholds.
    for number, (block, own) in enumerate(zip(blocks, counts, strict=True)):
        if _is_own(number, team):
            tiles.count(block, block, own)
    _join(counts, team, is_last=False)
    tiles.leading = choose_leading_part(order, torch.cat([each.lowest for each in counts]))
    num_pairs, number = len(blocks) * (len(blocks) - 1) // 2, 0
    meetings = {int(num_pairs * share) for share in _MEETINGS}
    for row, block in enumerate(blocks):
        for column in range(row + 1, len(blocks)):
            if _is_own(number, team):
                tiles.count(block, blocks[column], counts[row], counts[column])
            number += 1
            if number in meetings:
                _join(counts, team, is_last=False)
        if team is None:
            yield to_ranks(order.query_order[slice(*block)], counts[row], positives[row][1])
    if team is not None:
        _join(counts, team, is_last=True)
        for block, own, (_, num_positives) in zip(blocks, counts, positives, strict=True):
            yield to_ranks(order.query_order[slice(*block)], own, num_positives)


def _join(counts: list[ThresholdCounts], team: Team | None, *, is_last: bool) -> None:
    """Add up what the processes of a team have counted: all know then what to drop, and one goes on with the counts."""
    if team is None:
        return
    above = team.sum(torch.cat([own.above.flatten() for own in counts]))
    level = -team.max(-torch.cat([own.level for own in counts]))  # what one has dropped is nobody's to tell
    parts = zip(
        counts,
        torch.split(above, [own.above.numel() for own in counts]),
        torch.split(level, [len(own.level) for own in counts]),
        strict=True,
    )
    for own, own_above, own_level in parts:
        own.join(own_above.view_as(own.above), own_level)
        if team.rank > 0 and not is_last:
            own.above.zero_()


def _is_own(number: int, team: Team | None) -> bool:
    """Tell whether a piece of work is this process's."""
    return team is None or number % team.size == team.rank


@torch.no_grad()
def _rectangular_ranks(order: ClassOrder, tile_size: int, wanted: Wanted) -> Iterator[PositiveRanks]:
    """Rank the gallery for one block of queries after another."""
    tiles = Tiles(order, tile_size**2)
    for start, stop in query_blocks(order.num_queries, tile_size, order.width):
        thresholds, num_positives = _positives(order, start, stop, wanted)
        counts = wanted.begin_counts(thresholds, num_positives)
        tiles.count_gallery((start, stop), counts)
        yield to_ranks(order.query_order[start:stop], counts, num_positives)


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


def _positives(order: ClassOrder, start: int, stop: int, wanted: Wanted) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the thresholds of the queries' positives, `(block, num_ranks)` float32, and their numbers, `(block,)`."""
    scores, num_positives = order.positive_scores(start, stop, wanted.tolerance)
    return wanted.thresholds(scores), num_positives


def _all_positives(
    order: ClassOrder, blocks: list[tuple[int, int]], wanted: Wanted, team: Team | None
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return what `_positives` does of each block: found by one process of a team, and known to all."""
    found = []
    for number, (start, stop) in enumerate(blocks):
        if _is_own(number, team):
            found.append(_positives(order, start, stop, wanted))
        else:
            width = 1 if wanted.best_only else order.width(start, stop)
            nothing = torch.zeros(stop - start, width, device=order.queries.device)
            found.append((nothing, order.starts.new_zeros(stop - start)))
    return found if team is None else [(team.sum(thresholds), team.sum(number)) for thresholds, number in found]


def to_ranks(queries: torch.Tensor, counts: ThresholdCounts, num_positives: torch.Tensor) -> PositiveRanks:
    """Add the positives ahead of each positive to the wrong items counted ahead of it."""
    places = torch.arange(counts.above.shape[1], device=counts.above.device)
    is_exact = places <= counts.level.unsqueeze(1)
    ranks = (counts.above + places).masked_fill_(~is_exact, UNRESOLVED)
    return PositiveRanks(queries, ranks, num_positives)
