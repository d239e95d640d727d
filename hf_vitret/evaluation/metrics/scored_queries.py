"""Ranks of the positives of a block of queries, from the scores of the whole gallery and the grades of its items."""

from __future__ import annotations

import torch

from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED


class ScoredQueries:
    """Scores of a block of queries with the whole gallery, those of positives apart from those of negatives.

    Args:
        scores: `(block, num_gallery)` float32, exact scores. The tensor is changed in place.
        tolerances: `(block, num_gallery)` float32. Another item ties with an item if its score differs from that of the
            item by at most this.
        grades: `(block, num_gallery)` float64, the grade of each item; 0 for a negative.
        is_absent: `(block, num_gallery)` bool, the items that are left out of the list of the query.

    Attributes:
        num_positives: `(block,)` int64, the number of positives of each query.
        grades: `(block, max_positives)` float64, the grades of the positives of each query in the order of the gallery;
            zeros fill the rest of a row.
    """

    def __init__(
        self, scores: torch.Tensor, tolerances: torch.Tensor, grades: torch.Tensor, is_absent: torch.Tensor
    ) -> None:
        is_right = (grades > 0) & ~is_absent
        self.num_positives = is_right.sum(dim=1)
        width = max(1, int(self.num_positives.max()))
        queries, items = is_right.nonzero().unbind(dim=1)
        columns = is_right.cumsum(dim=1)[queries, items] - 1
        self._is_item = torch.arange(width, device=scores.device) < self.num_positives.unsqueeze(1)  # (block, width)
        self._scores, self._tolerances = (each.new_zeros(len(each), width) for each in (scores, tolerances))
        self._scores[queries, columns] = scores[queries, items]
        self._tolerances[queries, columns] = tolerances[queries, items]
        self.grades = grades.new_zeros(len(grades), width)
        self.grades[queries, columns] = grades[queries, items]
        self._wrong = scores.masked_fill_(is_right | is_absent, -torch.inf)

    def ranks(self, *, is_optimistic: bool = False) -> torch.Tensor:
        """Return the 0-based ranks of the positives, where a negative that ties with a positive is ahead of it.

        Args:
            is_optimistic: Rank a negative that ties with a positive behind it instead.

        Returns:
            `(block, max_positives)` int64, ascending along a row; `UNRESOLVED` fills the rest of a row.
        """
        limits = self._scores + self._tolerances if is_optimistic else self._scores - self._tolerances
        limits = limits.masked_fill(~self._is_item, -torch.inf).sort(dim=1, descending=True).values
        num_positives_ahead = torch.arange(limits.shape[1], device=limits.device)
        ranks = _num_above(self._wrong, limits, is_strict=is_optimistic) + num_positives_ahead
        return ranks.masked_fill(~self._is_item, UNRESOLVED)

    def graded_ranks(self) -> torch.Tensor:
        """Return the 0-based ranks of the positives, where an item that ties with one of a higher grade is ahead of it.

        The score of an item whose grade is the l-th lowest among the positives of the query is lowered by l times the
        largest tolerance of these positives. So the item is behind all items of lower grades that tie with it, whatever
        their norms.

        Returns:
            `(block, max_positives)` int64, in the order of `grades`; `UNRESOLVED` fills the rest of a row.
        """
        by_grade = self.grades.sort(dim=1, stable=True)
        is_higher = torch.nn.functional.pad(by_grade.values, (1, 0)).diff(dim=1) > 0
        levels = torch.empty_like(by_grade.indices).scatter_(1, by_grade.indices, is_higher.cumsum(dim=1))
        tolerance = self._tolerances.max(dim=1, keepdim=True).values
        limits = (self._scores - tolerance * levels).masked_fill(~self._is_item, -torch.inf)
        # Sort by limit; of equal limits, the lower grade comes first.
        order = by_grade.indices.gather(
            1, limits.gather(1, by_grade.indices).argsort(dim=1, descending=True, stable=True)
        )
        num_positives_ahead = torch.arange(order.shape[1], device=order.device)
        ranks = _num_above(self._wrong, limits.gather(1, order), is_strict=False) + num_positives_ahead
        return torch.empty_like(ranks).scatter_(1, order, ranks).masked_fill(~self._is_item, UNRESOLVED)

    def num_ahead_and_tied(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return for each positive the number of items strictly ahead of it, and the number of items that tie with it.

        Returns:
            Two `(block, max_positives)` int64 tensors in the order of `grades`. Both count positives and negatives; the
            second counts the item itself too.
        """
        scores = self._scores.masked_fill(~self._is_item, -torch.inf)
        ahead, not_behind = (
            _num_above_unsorted(self._wrong, limits, is_strict=is_strict)
            + _num_above_unsorted(scores, limits, is_strict=is_strict)
            for limits, is_strict in ((scores + self._tolerances, True), (scores - self._tolerances, False))
        )
        return ahead, not_behind - ahead


def _num_above_unsorted(scores: torch.Tensor, limits: torch.Tensor, *, is_strict: bool) -> torch.Tensor:
    """Count the scores at or above each limit as `_num_above` does, for limits in any order."""
    limits, order = limits.sort(dim=1, descending=True)
    return torch.empty_like(order).scatter_(1, order, _num_above(scores, limits, is_strict=is_strict))


def _num_above(scores: torch.Tensor, limits: torch.Tensor, *, is_strict: bool) -> torch.Tensor:
    """Count for each query the scores at or above each limit, or those strictly above it.

    Args:
        scores: `(block, num_items)` float32; -inf is never counted.
        limits: `(block, width)` float32, descending along a row. The count for a limit of -inf has no meaning.
        is_strict: Do not count scores that are equal to a limit.

    Returns:
        `(block, width)` int64.
    """
    ascending = limits.flip(1).contiguous()
    num_passed = torch.searchsorted(ascending, scores, right=not is_strict)  # (block, num_items): limits passed
    counts = torch.zeros(len(limits), limits.shape[1] + 1, dtype=torch.int64, device=scores.device)
    counts.scatter_add_(1, num_passed, torch.ones_like(num_passed))
    # The limit with j smaller limits in its row is passed by the scores that pass more than j limits.
    return counts.flip(1).cumsum(dim=1)[:, :-1]
