"""Numbers that are joined into groups, pair by pair or many pairs at once (union-find on arrays)."""

from __future__ import annotations

import numpy as np


class DisjointSets:
    """Groups of the numbers from 0 to `size - 1`; at first each is alone.

    Attributes:
        roots: `(size,)` int64, the smallest number of each one's group: equal where two are in one group.
    """

    def __init__(self, size: int) -> None:
        self.roots = np.arange(size, dtype=np.int64)

    def join(self, ones: np.ndarray, others: np.ndarray) -> None:
        """Join the groups of `ones[pair]` and `others[pair]`, for every pair: two `(num_pairs,)` int64 arrays."""
        while True:
            first, second = self.roots[ones], self.roots[others]
            apart = first != second
            if not apart.any():
                return
            ones, others, first, second = ones[apart], others[apart], first[apart], second[apart]
            # A root hangs itself under a smaller one that it is joined to: if to several, under any of them, and the
            # others meet it again in the next round.
            self.roots[np.maximum(first, second)] = np.minimum(first, second)
            self._flatten()

    def _flatten(self) -> None:
        """Let every number point at its root, at once."""
        while True:
            above = self.roots[self.roots]
            if np.array_equal(above, self.roots):
                return
            self.roots = above

    def groups(self) -> list[np.ndarray]:
        """Return the groups of two or more: arrays of numbers, ascending, by their first one."""
        return equal_groups(self.roots, np.arange(len(self.roots)))


def equal_groups(keys: np.ndarray, numbers: np.ndarray) -> list[np.ndarray]:
    """Group numbers whose keys are equal.

    Args:
        keys: `(num,)` of any type that numpy sorts.
        numbers: `(num,)` int64, ascending.

    Returns:
        The groups of two or more, each ascending, by their first number.
    """
    if not len(keys):
        return []
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    groups = [numbers[group] for group in np.split(order, starts[1:]) if len(group) > 1]
    return sorted(groups, key=lambda group: int(group[0]))
