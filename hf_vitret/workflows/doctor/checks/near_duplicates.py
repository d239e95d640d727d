"""Groups of pictures that are nearly the same: every pair of hashes is compared, a tile at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .disjoint_sets import DisjointSets
from .perceptual_hash import correlations, standardize

if TYPE_CHECKING:
    from collections.abc import Callable

# Pairs compared at once: 64 x 4,096 distances are 2 MiB, which stay in the cache of a core.
_ROWS = 64
_COLUMNS = 4_096
# Candidates of a tile above which one product of all its thumbnails is cheaper than gathering each pair's.
_MANY = 4_096
# What float32 loses in a sum of 768 products: two equal thumbnails still correlate by 1.
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
    """Join the pictures that are nearly the same.

    Two pictures are candidates where their hashes differ in `max_distance` bits at most, and near duplicates where the
    thumbnails of candidates correlate enough: the hash knows neither colour nor small things. Memory does not grow with
    the number of pairs. Time does: 1.5 ns a pair on one slow core (3 s for 60,000 images) while few thumbnails need be
    looked at, and 200 ns at worst, where all hashes are equal and no two pictures alike. What is in one group
    already is not compared again, so that a flood of copies costs little more than the hashes.

    Args:
        sets: Groups of all images, which grow. Groups are chains: their ends may be less alike.
        hashes: `(num_images,)` uint64.
        thumbnails: `(num_images, 16, 16, 3)` uint8.
        numbers: `(num_compared,)` int64, ascending: the images to compare; leave out the flat ones.
        max_distance: Bits, 0 to 64.
        min_correlation: At most 1.
        advance: Called with a number of images that have been compared with all before them, until that is all.
    """
    compared = hashes[numbers]
    for left in range(0, len(numbers), _COLUMNS):
        columns = numbers[left : left + _COLUMNS]
        column_vectors: np.ndarray | None = None
        for start in range(0, left + len(columns), _ROWS):
            rows = numbers[start : start + _ROWS]
            distances = count_bits(compared[start : start + _ROWS, None] ^ compared[None, left : left + _COLUMNS])
            places = np.flatnonzero(distances <= max_distance)  # in the tile, row after row
            ones, others = rows[places // len(columns)], columns[places % len(columns)]
            apart = sets.roots[ones] != sets.roots[others]  # leaves out an image and itself, too
            if not apart.any():
                continue
            places, ones, others = places[apart], ones[apart], others[apart]
            if len(places) <= _MANY:
                found = correlations(thumbnails[ones], thumbnails[others])
            else:
                if column_vectors is None:
                    column_vectors = standardize(thumbnails[columns])  # (columns, 768)
                found = (standardize(thumbnails[rows]) @ column_vectors.T).ravel()[places]
            alike = found >= min_correlation - _ROUNDING
            sets.join(ones[alike], others[alike])
        advance(len(columns))


def count_bits(values: np.ndarray) -> np.ndarray:
    """Count the bits that are set in each uint64: uint8 of the same shape."""
    if hasattr(np, "bitwise_count"):  # numpy 2
        counts: np.ndarray = np.bitwise_count(values)
        return counts
    quarters = np.ascontiguousarray(values).view(np.uint16).reshape(*values.shape, 4)
    counts = _BITS_OF_UINT16[quarters].sum(axis=-1, dtype=np.uint8)
    return counts


# (65536,) uint8, made by doubling: with the next higher bit set, a number has one bit more.
_BITS_OF_UINT16 = np.zeros(1, dtype=np.uint8)
for _ in range(16):
    _BITS_OF_UINT16 = np.concatenate([_BITS_OF_UINT16, _BITS_OF_UINT16 + 1])
