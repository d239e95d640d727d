"""A block of queries scored with the whole gallery, whose right items are of several grades."""

from __future__ import annotations

import torch

from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED


class ScoredQueries:
    """Scores of some queries, those of right items apart from those of wrong ones.

    Args:
        scores: `(block, num_gallery)` float32, exact. Taken over: changed in place.
        tolerances: `(block, num_gallery)` float32, how far a score may be from that of the item for a tie.
        grades: `(block, num_gallery)` float64, 0 for a wrong item.
        is_absent: `(block, num_gallery)` bool, items that are neither right nor wrong.

    Attributes:
        num_positives: `(block,)` int64.
        grades: `(block, max_positives)` float64 of each right item, in the order of the gallery; 0 fills.
    """

    def __init__(
        self, scores: torch.Tensor, tolerances: torch.Tensor, grades: torch.Tensor, is_absent: torch.Tensor
    ) -> None:
        is_right = (grades > 0) & ~is_absent
        self.num_positives = is_right.sum(dim=1)
        width = max(1, int(self.num_positives.max()))
        queries, items = is_right.nonzero().unbind(dim=1)
        places = is_right.cumsum(dim=1)[queries, items] - 1
        self._is_item = torch.arange(width, device=scores.device) < self.num_positives.unsqueeze(1)  # (block, width)
        self._scores, self._tolerances = (each.new_zeros(len(each), width) for each in (scores, tolerances))
        self._scores[queries, places] = scores[queries, items]
        self._tolerances[queries, places] = tolerances[queries, items]
        self.grades = grades.new_zeros(len(grades), width)
        self.grades[queries, places] = grades[queries, items]
        self._wrong = scores.masked_fill_(is_right | is_absent, -torch.inf)

    def ranks(self, *, is_optimistic: bool = False) -> torch.Tensor:
        """Return the 0-based ranks of the right items, a wrong one that ties ahead of them, or behind.

        Returns:
            `(block, max_positives)` int64, ascending; `UNRESOLVED` fills.
        """
        limits = self._scores + self._tolerances if is_optimistic else self._scores - self._tolerances
        limits = limits.masked_fill(~self._is_item, -torch.inf).sort(dim=1, descending=True).values
        places = torch.arange(limits.shape[1], device=limits.device)
        return (_num_above(self._wrong, limits, is_strict=is_optimistic) + places).masked_fill(
            ~self._is_item, UNRESOLVED
        )

    def graded_ranks(self) -> torch.Tensor:
        """Return the 0-based ranks of the right items, any less relevant one that ties ahead of them.

        An item of a query's l-th lowest grade is set back by l times the largest tolerance of its right items, so that
        it stands behind all of lower grades that tie with it, whatever their norms.

        Returns:
            `(block, max_positives)` int64, in the order of `grades`; `UNRESOLVED` fills.
        """
        by_grade = self.grades.sort(dim=1, stable=True)
        is_higher = torch.nn.functional.pad(by_grade.values, (1, 0)).diff(dim=1) > 0
        levels = torch.empty_like(by_grade.indices).scatter_(1, by_grade.indices, is_higher.cumsum(dim=1))
        tolerance = self._tolerances.max(dim=1, keepdim=True).values
        limits = (self._scores - tolerance * levels).masked_fill(~self._is_item, -torch.inf)
        # By limit, and where they are equal the lower grade first.
        order = by_grade.indices.gather(
            1, limits.gather(1, by_grade.indices).argsort(dim=1, descending=True, stable=True)
        )
        places = torch.arange(order.shape[1], device=order.device)
        ranks = _num_above(self._wrong, limits.gather(1, order), is_strict=False) + places
        return torch.empty_like(ranks).scatter_(1, order, ranks).masked_fill(~self._is_item, UNRESOLVED)

    def tied_places(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return for each right item how many stand strictly ahead of it, and how many tie with it, itself included.

        Returns:
            Two `(block, max_positives)` int64, in the order of `grades`, right and wrong items counted alike.
        """
        scores = self._scores.masked_fill(~self._is_item, -torch.inf)
        ahead, not_behind = (
            _num_above_unsorted(self._wrong, limits, is_strict=is_strict)
            + _num_above_unsorted(scores, limits, is_strict=is_strict)
            for limits, is_strict in ((scores + self._tolerances, True), (scores - self._tolerances, False))
        )
        return ahead, not_behind - ahead


def _num_above_unsorted(scores: torch.Tensor, limits: torch.Tensor, *, is_strict: bool) -> torch.Tensor:
    """Count as `_num_above` does, for limits in any order."""
    limits, order = limits.sort(dim=1, descending=True)
    return torch.empty_like(order).scatter_(1, order, _num_above(scores, limits, is_strict=is_strict))


def _num_above(scores: torch.Tensor, limits: torch.Tensor, *, is_strict: bool) -> torch.Tensor:
    """Count for each query the scores at or above each limit, or strictly above.

    Args:
        scores: `(block, num_items)` float32; -inf is never counted.
        limits: `(block, width)` float32, descending along a row; the count at -inf has no meaning.
        is_strict: Leave out the scores equal to a limit.

    Returns:
        `(block, width)` int64.
    """
    ascending = limits.flip(1).contiguous()
    num_passed = torch.searchsorted(ascending, scores, right=not is_strict)  # (block, num_items): limits passed
    counts = torch.zeros(len(limits), limits.shape[1] + 1, dtype=torch.int64, device=scores.device)
    counts.scatter_add_(1, num_passed, torch.ones_like(num_passed))
    # The limit at place j from below is passed by the scores that pass more than j.
    return counts.flip(1).cumsum(dim=1)[:, :-1]
