"""A 64-bit hash that stays almost the same when a picture is resized, recompressed or retouched a little."""

from __future__ import annotations

import numpy as np
from PIL import Image

GRID = 32  # pixels: side of the picture that is hashed
_BITS = 8  # frequencies along each axis
THUMBNAIL_SHAPE = (16, 16, 3)
# Standard deviation of the grey grid, in steps of 255, below which a picture shows nothing: JPEG leaves about 1 on
# plain paper. The hash of such a picture is the hash of its noise.
FLAT_DEVIATION = 2.0

_POSITIONS = np.arange(GRID)
# (8, 32): the first rows of the type-II discrete cosine transform, unscaled.
_COSINES = np.cos(np.pi / (2 * GRID) * np.outer(np.arange(_BITS), 2 * _POSITIONS + 1)).astype(np.float32)


def shrink(image: Image.Image) -> Image.Image:
    """Average an RGB image, whatever its shape, over a grid of 32 x 32 cells."""
    return image.resize((GRID, GRID), Image.Resampling.BOX)


def perceptual_hash(grid: Image.Image) -> tuple[int, bool]:
    """Hash the low frequencies of a picture (pHash).

    The grey 32 x 32 grid is transformed (DCT-II); each of the 8 x 8 lowest coefficients gives a bit: whether it is
    above the median of the 63 that are not the mean.

    Args:
        grid: What `shrink` returned.

    Returns:
        The hash, 64 bits, and whether the picture is flat: such hashes mean nothing.

    Reference:
        Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2.1. There the
        coefficients 1 to 8 of each axis are taken, and their median.
    """
    grey = np.asarray(grid.convert("L"), dtype=np.float32)  # (32, 32)
    coefficients = (_COSINES @ grey @ _COSINES.T).ravel()  # (64,)
    bits = coefficients > np.median(coefficients[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big"), bool(grey.std() < FLAT_DEVIATION)


def thumbnail(grid: Image.Image) -> np.ndarray:
    """Reduce a picture to `(16, 16, 3)` uint8, in colour, to compare the pictures whose hashes agree."""
    return np.asarray(grid.reduce(GRID // THUMBNAIL_SHAPE[0]))


def correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Correlate thumbnails pair by pair: 1 where they differ in brightness and contrast at most.

    Args:
        one: `(num_pairs, 16, 16, 3)` uint8.
        other: The same.

    Returns:
        `(num_pairs,)` float32 in [-1, 1]; 0 for thumbnails of one colour.
    """
    found: np.ndarray = np.einsum("pd,pd->p", standardize(one), standardize(other))
    return found


def standardize(thumbnails: np.ndarray) -> np.ndarray:
    """Return thumbnails as vectors whose inner products are their correlations, `(num, 768)` float32."""
    vectors = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return vectors
