"""Disjoint sets of integers that are merged by arrays of pairs (union-find on numpy arrays)."""

from __future__ import annotations

import numpy as np


class DisjointSets:
    """Disjoint groups of the numbers from 0 to `size - 1`, each of which starts in a group of its own.

    Args:
        size: How many numbers there are.

    Attributes:
        roots: `(size,)` int64, for each number the smallest number of its group. Two numbers are in one group if and
            only if their roots are equal.
    """

    def __init__(self, size: int) -> None:
        self.roots = np.arange(size, dtype=np.int64)

    def join(self, ones: np.ndarray, others: np.ndarray) -> None:
        """Merge the groups of the two numbers of every pair.

        Args:
            ones: `(num_pairs,)` int64, the first number of each pair.
            others: `(num_pairs,)` int64, the second number of each pair.
        """
        while True:
            first, second = self.roots[ones], self.roots[others]
            apart = first != second
            if not apart.any():
                return
            ones, others, first, second = ones[apart], others[apart], first[apart], second[apart]
            # Each root is attached to a smaller root that it is paired with. If there are several, one of them is
            # taken, and the pairs with the others are still apart in the next round.
            self.roots[np.maximum(first, second)] = np.minimum(first, second)
            self._flatten()

    def _flatten(self) -> None:
        """Set the entry of every number to the root of its group."""
        while True:
            above = self.roots[self.roots]
            if np.array_equal(above, self.roots):
                return
            self.roots = above

    def groups(self) -> list[np.ndarray]:
        """Return the groups of two or more numbers as ascending arrays, sorted by their first number."""
        return equal_groups(self.roots, np.arange(len(self.roots)))


def equal_groups(keys: np.ndarray, numbers: np.ndarray) -> list[np.ndarray]:
    """Group numbers whose keys are equal.

    Args:
        keys: `(num,)`, of any type that numpy can sort.
        numbers: `(num,)` int64, ascending, the number of each key.

    Returns:
        The groups of two or more numbers as ascending arrays, sorted by their first number.
    """
    if not len(keys):
        return []
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    groups = [numbers[group] for group in np.split(order, starts[1:]) if len(group) > 1]
    return sorted(groups, key=lambda group: int(group[0]))
