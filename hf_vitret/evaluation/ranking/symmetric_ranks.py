"""Ranks of a set that searches itself: each pair of items is scored once, by one process or one of several."""

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

# Shares of the work after which a team's processes tell each other what they have counted: early, when most is dropped.
_MEETINGS = (0.03, 0.2)


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


_Counts = TypeVar("_Counts", ThresholdCounts, RankBrackets)

ALONE = Team(0, 1, lambda values: values, lambda values: values)


@torch.no_grad()
def symmetric_ranks(
    order: ClassOrder, blocks: Sequence[tuple[int, int]], wanted: Wanted, team: Team = ALONE
) -> Iterator[PositiveRanks]:
    """Rank all items against each other, from the tiles on and above the diagonal alone.

    Args:
        order: A query set that is its own gallery.
        blocks: First query and one past the last of each block; the first is the largest.
        wanted: Which ranks are to be resolved.
        team: Who shares the work.

    Yields:
        The blocks, as `positive_ranks` does.
    """
    tiles = Tiles(order, (blocks[0][1] - blocks[0][0] + 7) ** 2)
    positives = _all_positives(order, blocks, wanted, team)
    if wanted.is_of_sides:
        brackets = [RankBrackets(thresholds[:, 0], sorted(wanted.cutoffs or ())) for thresholds, _ in positives]
        _count(order, tiles, blocks, brackets, team)
        _settle(order, brackets, team)
        for block, bracket, (_, num_positives) in zip(blocks, brackets, positives, strict=True):
            yield PositiveRanks(order.query_order[slice(*block)], bracket.ranks(), num_positives)
    else:
        counts = [wanted.begin_counts(*each) for each in positives]
        _count(order, tiles, blocks, counts, team)
        for block, own, (_, num_positives) in zip(blocks, counts, positives, strict=True):
            yield to_ranks(order.query_order[slice(*block)], own, num_positives)


def _all_positives(
    order: ClassOrder, blocks: Sequence[tuple[int, int]], wanted: Wanted, team: Team
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return what `positives_of` does of each block: found by one process of a team, and known to all."""
    found = []
    for number, (start, stop) in enumerate(blocks):
        if _is_own(number, team):
            found.append(positives_of(order, start, stop, wanted))
        else:
            width = 1 if wanted.best_only else order.width(start, stop)
            nothing = torch.zeros(stop - start, width, device=order.queries.device)
            found.append((nothing, order.starts.new_zeros(stop - start)))
    thresholds, numbers = (_of_all(side, team.sum) for side in zip(*found, strict=True))
    return list(zip(thresholds, numbers, strict=True))


def _count(
    order: ClassOrder,
    tiles: Tiles,
    blocks: Sequence[tuple[int, int]],
    counts: Sequence[_Counts],
    team: Team,
) -> None:
    """Count all tiles, each process its share."""
    # The diagonal first: it shows every query a share of the gallery, which drops most thresholds.
    for number, (block, own) in enumerate(zip(blocks, counts, strict=True)):
        if _is_own(number, team):
            tiles.count(block, block, own)
    _join(counts, team, is_last=False)
    directions = choose_directions(order, torch.cat([each.lowest for each in counts]))
    if directions is not None:
        part = LeadingPart.of(order.queries, directions, team.rank, team.size)
        tiles.leading = LeadingPart(team.sum(part.rows))
    num_pairs, number = len(blocks) * (len(blocks) - 1) // 2, 0
    meetings = {int(num_pairs * share) for share in _MEETINGS}
    for row, block in enumerate(blocks):
        for column in range(row + 1, len(blocks)):
            if _is_own(number, team):
                tiles.count(block, blocks[column], counts[row], counts[column])
            number += 1
            if number in meetings:
                _join(counts, team, is_last=False)
    _join(counts, team, is_last=True)


def _join(counts: Sequence[_Counts], team: Team, *, is_last: bool) -> None:
    """Add up what the processes of a team have counted: all know then what to drop, and one goes on with the counts."""
    if team.size == 1:
        return
    joined = []
    for tally, is_sum in counts[0].TALLIES:
        parts = [getattr(own, tally) for own in counts]
        joined.append(_of_all(parts, team.sum if is_sum else lambda flat: -team.max(-flat)))
    for own, *tallies in zip(counts, *joined, strict=True):
        own.join(*tallies)
        if team.rank > 0 and not is_last:
            own.clear()


def _of_all(parts: Sequence[torch.Tensor], join: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
    """Let the processes join what they have of each part, in one message."""
    joined = join(torch.cat([part.flatten() for part in parts]))
    sizes = [part.numel() for part in parts]
    return [flat.view_as(part) for flat, part in zip(torch.split(joined, sizes), parts, strict=True)]


def _settle(order: ClassOrder, brackets: Sequence[RankBrackets], team: Team) -> None:
    """Count exactly for the queries whose bracket holds a cut-off, each process for its share of them."""
    above, thresholds = (torch.cat([getattr(own, name) for own in brackets]) for name in ("above", "thresholds"))
    queries = torch.cat([own.is_unsettled() for own in brackets]).nonzero().squeeze(1)
    counted = torch.zeros_like(queries)
    counted[team.rank :: team.size] = count_above(
        order, queries[team.rank :: team.size], thresholds[queries[team.rank :: team.size]]
    )
    above[queries] = team.sum(counted)
    for own, settled in zip(brackets, torch.split(above, [len(own.above) for own in brackets]), strict=True):
        own.above = settled


def _is_own(number: int, team: Team) -> bool:
    """Tell whether a piece of work is this process's."""
    return number % team.size == team.rank
