"""Conversion of vectors to and from the stored data type: float32, float16, or int8 with one scale for all."""

from __future__ import annotations

import numpy as np

from .choices import STORED_DTYPES

# The components of a unit vector are in [-1, 1]. The scale is fixed, so that shards are comparable and can be written
# in any order.
INT8_SCALE = 1 / 127


def scale_of(dtype: str) -> float | None:
    """Return the factor from a stored value to the float; `None` if the stored value is a float."""
    return INT8_SCALE if dtype == "int8" else None


def check_stored_dtype(dtype: str, *, normalize: bool) -> None:
    """Check that vectors can be stored in a data type.

    Raises:
        ValueError: There is no such type, or it is int8 and the vectors are not normalised.
    """
    if dtype not in STORED_DTYPES:
        raise ValueError(f"expected a stored dtype of {', '.join(STORED_DTYPES)}; got {dtype!r}")
    if dtype == "int8" and not normalize:
        raise ValueError(
            "int8 has one scale, for components from -1 to 1; got vectors before the norm: normalize, or store float16"
        )


def to_stored(embeddings: np.ndarray, dtype: str) -> np.ndarray:
    """Convert `(N, D)` float32 to the stored data type; int8 rounds to the nearest multiple of the scale."""
    if dtype == "int8":
        embeddings = np.clip(np.rint(embeddings / np.float32(INT8_SCALE)), -127, 127)
    return embeddings.astype(dtype)


def from_stored(stored: np.ndarray, scale: float | None) -> np.ndarray:
    """Convert stored vectors, `(N, D)`, to float32; `scale` is that in the manifest."""
    floats: np.ndarray = stored.astype(np.float32)
    return floats if scale is None else floats * np.float32(scale)
