"""Ranks of a set that searches itself: each pair of items is scored once, by one process or by one of several."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.leading_part import LeadingPart, choose_directions
from hf_vitret.evaluation.ranking.rank_brackets import RankBrackets, count_above
from hf_vitret.evaluation.ranking.ranked_block import PositiveRanks, positives_of, to_ranks
from hf_vitret.evaluation.ranking.threshold_counts import ThresholdCounts
from hf_vitret.evaluation.ranking.tiles import Tiles
from hf_vitret.evaluation.ranking.wanted_ranks import Wanted

# Shares of the work after which the processes combine their counts: early ones, when most thresholds are dropped.
_SYNC_POINTS = (0.03, 0.2)


@dataclass(frozen=True)
class ProcessGroup:
    """Processes that score the same embeddings together, each of them a share of the tiles.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
        sum: A function that returns the elementwise sum of a tensor over all processes, to each of them.
        max: A function that returns the elementwise maximum of a tensor over all processes, to each of them.
    """

    rank: int
    size: int
    sum: Callable[[torch.Tensor], torch.Tensor]
    max: Callable[[torch.Tensor], torch.Tensor]


_Counts = TypeVar("_Counts", ThresholdCounts, RankBrackets)

SINGLE_PROCESS = ProcessGroup(0, 1, lambda values: values, lambda values: values)


@torch.no_grad()
def symmetric_ranks(
    order: ClassOrder, blocks: Sequence[tuple[int, int]], wanted: Wanted, process_group: ProcessGroup = SINGLE_PROCESS
) -> Iterator[PositiveRanks]:
    """Yield the ranks of the positives of all items, from the tiles on and above the diagonal alone.

    Args:
        order: A query set that is its own gallery.
        blocks: The first query and one past the last query of each block; the first block is the largest.
        wanted: The ranks to resolve.
        process_group: The processes that share the work.

    Yields:
        The blocks, as `positive_ranks` yields them.
    """
    tiles = Tiles(order, (blocks[0][1] - blocks[0][0] + 7) ** 2)
    positives = _all_positives(order, blocks, wanted, process_group)
    if wanted.is_of_sides:
        brackets = [RankBrackets(thresholds[:, 0], sorted(wanted.cutoffs or ())) for thresholds, _ in positives]
        _count(order, tiles, blocks, brackets, process_group)
        _settle(order, brackets, process_group)
        for block, bracket, (_, num_positives) in zip(blocks, brackets, positives, strict=True):
            yield PositiveRanks(order.query_order[slice(*block)], bracket.ranks(), num_positives)
    else:
        counts = [wanted.begin_counts(*each) for each in positives]
        _count(order, tiles, blocks, counts, process_group)
        for block, own, (_, num_positives) in zip(blocks, counts, positives, strict=True):
            yield to_ranks(order.query_order[slice(*block)], own, num_positives)


def _all_positives(
    order: ClassOrder, blocks: Sequence[tuple[int, int]], wanted: Wanted, process_group: ProcessGroup
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return the thresholds and the numbers of positives of each block.

    Each block is computed by one process and then known to all.
    """
    found = []
    for number, (start, stop) in enumerate(blocks):
        if _is_own(number, process_group):
            found.append(positives_of(order, start, stop, wanted))
        else:
            width = 1 if wanted.best_only else order.width(start, stop)
            nothing = torch.zeros(stop - start, width, device=order.queries.device)
            found.append((nothing, order.starts.new_zeros(stop - start)))
    thresholds, numbers = (_of_all(side, process_group.sum) for side in zip(*found, strict=True))
    return list(zip(thresholds, numbers, strict=True))


def _count(
    order: ClassOrder,
    tiles: Tiles,
    blocks: Sequence[tuple[int, int]],
    counts: Sequence[_Counts],
    process_group: ProcessGroup,
) -> None:
    """Count the scores of all tiles, of which each process computes its share."""
    # The diagonal comes first: it scores every query with a part of the gallery, which drops most thresholds.
    for number, (block, own) in enumerate(zip(blocks, counts, strict=True)):
        if _is_own(number, process_group):
            tiles.count(block, block, own)
    _join(counts, process_group, is_last=False)
    directions = choose_directions(order, torch.cat([each.lowest for each in counts]))
    if directions is not None:
        part = LeadingPart.of(order.queries, directions, process_group.rank, process_group.size)
        tiles.leading = LeadingPart(process_group.sum(part.rows))
    num_pairs, number = len(blocks) * (len(blocks) - 1) // 2, 0
    sync_points = {int(num_pairs * share) for share in _SYNC_POINTS}
    for row, block in enumerate(blocks):
        for column in range(row + 1, len(blocks)):
            if _is_own(number, process_group):
                tiles.count(block, blocks[column], counts[row], counts[column])
            number += 1
            if number in sync_points:
                _join(counts, process_group, is_last=False)
    _join(counts, process_group, is_last=True)


def _join(counts: Sequence[_Counts], process_group: ProcessGroup, *, is_last: bool) -> None:
    """Sum the counts over the processes, so that each knows what to drop.

    Unless it is the last time, only process 0 keeps the sums; the others start again from zero.
    """
    if process_group.size == 1:
        return
    joined = []
    for tally, is_sum in counts[0].TALLIES:
        parts = [getattr(own, tally) for own in counts]
        joined.append(_of_all(parts, process_group.sum if is_sum else lambda flat: -process_group.max(-flat)))
    for own, *tallies in zip(counts, *joined, strict=True):
        own.join(*tallies)
        if process_group.rank > 0 and not is_last:
            own.clear()


def _of_all(parts: Sequence[torch.Tensor], join: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
    """Combine the parts of all processes with one call of `join`."""
    joined = join(torch.cat([part.flatten() for part in parts]))
    sizes = [part.numel() for part in parts]
    return [flat.view_as(part) for flat, part in zip(torch.split(joined, sizes), parts, strict=True)]


def _settle(order: ClassOrder, brackets: Sequence[RankBrackets], process_group: ProcessGroup) -> None:
    """Count exactly for the queries whose bracket contains a cut-off, each process for its share of them."""
    above, thresholds = (torch.cat([getattr(own, name) for own in brackets]) for name in ("above", "thresholds"))
    queries = torch.cat([own.is_unsettled() for own in brackets]).nonzero().squeeze(1)
    counted = torch.zeros_like(queries)
    share = slice(process_group.rank, None, process_group.size)
    counted[share] = count_above(order, queries[share], thresholds[queries[share]])
    above[queries] = process_group.sum(counted)
    for own, settled in zip(brackets, torch.split(above, [len(own.above) for own in brackets]), strict=True):
        own.above = settled


def _is_own(number: int, process_group: ProcessGroup) -> bool:
    """Return whether a piece of work, by its number, belongs to this process."""
    return number % process_group.size == process_group.rank
