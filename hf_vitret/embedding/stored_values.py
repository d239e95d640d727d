"""Vectors as they are stored: float32, float16, or int8 with one scale for all of them."""

from __future__ import annotations

import numpy as np

from .choices import STORED_DTYPES

# No component of a unit vector is above 1. One fixed scale, so that shards are comparable and made in any order.
INT8_SCALE = 1 / 127


def scale_of(dtype: str) -> float | None:
    """Return what a stored value is multiplied by; `None` where it is the value itself."""
    return INT8_SCALE if dtype == "int8" else None


def check_stored_dtype(dtype: str, *, normalize: bool) -> None:
    """Require a type that the vectors fit.

    Raises:
        ValueError: There is no such type, or it is int8 and the vectors have no unit norm.
    """
    if dtype not in STORED_DTYPES:
        raise ValueError(f"dtype is one of {', '.join(STORED_DTYPES)}; got {dtype!r}")
    if dtype == "int8" and not normalize:
        raise ValueError("int8 has one scale for components from -1 to 1: normalize, or store float16")


def to_stored(embeddings: np.ndarray, dtype: str) -> np.ndarray:
    """Convert `(N, D)` float32 to the stored type: int8 is the nearest multiple of the scale."""
    if dtype == "int8":
        embeddings = np.clip(np.rint(embeddings / np.float32(INT8_SCALE)), -127, 127)
    return embeddings.astype(dtype)


def from_stored(stored: np.ndarray, scale: float | None) -> np.ndarray:
    """Convert `(N, D)` as stored to float32; `scale` is that of the manifest."""
    floats: np.ndarray = stored.astype(np.float32)
    return floats if scale is None else floats * np.float32(scale)
