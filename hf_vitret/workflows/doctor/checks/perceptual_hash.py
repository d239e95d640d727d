"""A 64-bit perceptual hash (pHash) of an image, and colour thumbnails to confirm the matches of hashes."""

from __future__ import annotations

import numpy as np
from PIL import Image

GRID = 32  # side in pixels of the reduced image that is hashed
_BITS = 8  # number of frequencies along each axis
THUMBNAIL_SHAPE = (16, 16, 3)
# Standard deviation of the grey grid, on the scale 0..255, below which an image is flat. JPEG noise on a plain surface
# has about 1. The hash of a flat image is a hash of its noise.
FLAT_DEVIATION = 2.0

_POSITIONS = np.arange(GRID)
# (8, 32), the first rows of the type-II discrete cosine transform without scaling.
_COSINES = np.cos(np.pi / (2 * GRID) * np.outer(np.arange(_BITS), 2 * _POSITIONS + 1)).astype(np.float32)


def shrink(image: Image.Image) -> Image.Image:
    """Reduce an RGB image of any shape to 32 x 32 pixels by averaging over a grid."""
    return image.resize((GRID, GRID), Image.Resampling.BOX)


def perceptual_hash(grid: Image.Image) -> tuple[int, bool]:
    """Hash the low frequencies of an image (pHash).

    Such a hash changes in few bits when an image is resized, recompressed or slightly retouched. The grey 32 x 32 grid
    is transformed (DCT-II). Each of the 8 x 8 lowest coefficients gives one bit: whether it is above the median of the
    63 coefficients other than the mean.

    Args:
        grid: The reduced image, from `shrink`.

    Returns:
        The hash, 64 bits, and whether the image is flat, so that its hash is only noise.

    Reference:
        Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", section 3.2.1, which takes
        the coefficients 1 to 8 of each axis, and their median.
    """
    grey = np.asarray(grid.convert("L"), dtype=np.float32)  # (32, 32)
    coefficients = (_COSINES @ grey @ _COSINES.T).ravel()  # (64,)
    bits = coefficients > np.median(coefficients[1:])
    return int.from_bytes(np.packbits(bits).tobytes(), "big"), bool(grey.std() < FLAT_DEVIATION)


def thumbnail(grid: Image.Image) -> np.ndarray:
    """Reduce an image to a colour thumbnail, to compare images whose hashes agree.

    Args:
        grid: The reduced image, from `shrink`.

    Returns:
        `(16, 16, 3)` uint8, RGB.
    """
    return np.asarray(grid.reduce(GRID // THUMBNAIL_SHAPE[0]))


def correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Compute the Pearson correlation of each pair of thumbnails.

    It is 1 if the two differ only in brightness and contrast.

    Args:
        one: `(num_pairs, 16, 16, 3)` uint8, the first thumbnail of each pair.
        other: `(num_pairs, 16, 16, 3)` uint8, the second thumbnail of each pair.

    Returns:
        `(num_pairs,)` float32 in [-1, 1]; 0 if a thumbnail has a single colour.
    """
    found: np.ndarray = np.einsum("pd,pd->p", standardize(one), standardize(other))
    return found


def standardize(thumbnails: np.ndarray) -> np.ndarray:
    """Centre and normalise thumbnails, so that their inner products are their correlations.

    Args:
        thumbnails: `(num, 16, 16, 3)` uint8.

    Returns:
        `(num, 768)` float32, of zero mean and unit L2 norm; zeros for a thumbnail of a single colour.
    """
    vectors = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    vectors -= vectors.mean(axis=1, keepdims=True)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    return vectors
