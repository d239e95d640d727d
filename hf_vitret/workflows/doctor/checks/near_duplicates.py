"""Find near duplicates by a blockwise comparison of all pairs of perceptual hashes, confirmed by thumbnails."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .disjoint_sets import DisjointSets
from .perceptual_hash import correlations, standardize

if TYPE_CHECKING:
    from collections.abc import Callable

# Size of a tile of pairs that are compared at once: 64 x 4,096 distances take 2 MiB, which fit into a core's cache.
_ROWS = 64
_COLUMNS = 4_096
# Number of candidates of a tile above which one matrix product of all thumbnails is cheaper than a product per pair.
_MANY = 4_096
# The rounding error of float32 in a sum of 768 products, so that equal thumbnails reach a correlation of 1.
_ROUNDING = 1e-5


def join_near_duplicates(
    sets: DisjointSets,
    hashes: np.ndarray,
    thumbnails: np.ndarray,
    numbers: np.ndarray,
    *,
    max_distance: int,
    min_correlation: float,
    advance: Callable[[int], object] = lambda count: None,
) -> None:
    """Merge the groups of images that are near duplicates.

    Two images are candidates if their hashes differ in at most `max_distance` bits. Candidates are near duplicates if
    their thumbnails correlate by `min_correlation` or more, because the hash ignores colours and small details. Pairs
    whose images are in one group already are not compared again, so that many copies of one image cost little more than
    the comparison of their hashes.

    The memory does not depend on the number of pairs. The time is 1.5 ns a pair on one slow core (3 s for 60,000
    images) if few thumbnails need to be compared, and 200 ns a pair in the worst case, in which all hashes are equal
    and no two images are near duplicates.

    Args:
        sets: Groups of all images, which are merged in place. A group is connected by pairs of near duplicates; two of
            its images need not be near duplicates of each other.
        hashes: `(num_images,)` uint64 perceptual hashes.
        thumbnails: `(num_images, 16, 16, 3)` uint8.
        numbers: `(num_compared,)` int64, ascending numbers of the images to compare, without flat images.
        max_distance: Largest number of bits in which the hashes differ, 0 to 64.
        min_correlation: Lowest correlation of the thumbnails, at most 1.
        advance: Called after each block of images with the number of images in it, for a progress bar.
    """
    compared = hashes[numbers]
    for left in range(0, len(numbers), _COLUMNS):
        columns = numbers[left : left + _COLUMNS]
        column_vectors: np.ndarray | None = None
        for start in range(0, left + len(columns), _ROWS):
            rows = numbers[start : start + _ROWS]
            distances = count_bits(compared[start : start + _ROWS, None] ^ compared[None, left : left + _COLUMNS])
            candidates = np.flatnonzero(distances <= max_distance)  # flat indices into the tile
            ones, others = rows[candidates // len(columns)], columns[candidates % len(columns)]
            apart = sets.roots[ones] != sets.roots[others]  # false for an image and itself, too
            if not apart.any():
                continue
            candidates, ones, others = candidates[apart], ones[apart], others[apart]
            if len(candidates) <= _MANY:
                found = correlations(thumbnails[ones], thumbnails[others])
            else:
                if column_vectors is None:
                    column_vectors = standardize(thumbnails[columns])  # (columns, 768)
                found = (standardize(thumbnails[rows]) @ column_vectors.T).ravel()[candidates]
            is_near = found >= min_correlation - _ROUNDING
            sets.join(ones[is_near], others[is_near])
        advance(len(columns))


def count_bits(values: np.ndarray) -> np.ndarray:
    """Count the bits that are set in each value.

    Args:
        values: uint64 of any shape.

    Returns:
        uint8 of the same shape.
    """
    if hasattr(np, "bitwise_count"):  # numpy 2
        counts: np.ndarray = np.bitwise_count(values)
        return counts
    quarters = np.ascontiguousarray(values).view(np.uint16).reshape(*values.shape, 4)
    counts = _BITS_OF_UINT16[quarters].sum(axis=-1, dtype=np.uint8)
    return counts


# (65536,) uint8, the number of bits of each value. Each doubling sets the next higher bit, which adds one to the count.
_BITS_OF_UINT16 = np.zeros(1, dtype=np.uint8)
for _ in range(16):
    _BITS_OF_UINT16 = np.concatenate([_BITS_OF_UINT16, _BITS_OF_UINT16 + 1])
