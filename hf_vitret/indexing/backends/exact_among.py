"""`exact_among`: exact search among some of the vectors of an index, a few thousand at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...search.neighbors import merge_neighbors, nearest_neighbors

if TYPE_CHECKING:
    from .vector_backend import VectorBackend

_ROWS = 16_384  # vectors compared at once: 8 MB at 128 dimensions
_PARTS = 32  # number of partial results that are merged at once, so that memory does not grow with the number of parts


def exact_among(
    backend: VectorBackend, queries: np.ndarray, k: int, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Compare each query with all vectors at some positions, and return the k nearest.

    Args:
        backend: Stores the vectors. Vectors that it rounds are compared as stored.
        queries: `(num_queries, dim)` float32.
        k: Number of vectors to find, at least 1.
        positions: `(num_chosen,)` int64, ascending.

    Returns:
        scores: `(num_queries, k)` float32, descending; -inf if there are fewer than k vectors.
        positions: `(num_queries, k)` int64; -1 if there are fewer than k vectors.
    """
    asked = torch.from_numpy(queries)
    found = [
        (
            torch.full((len(queries), k), -torch.inf),
            torch.full((len(queries), k), -1, dtype=torch.int64),
        )
    ]
    for start in range(0, len(positions), _ROWS):
        some = positions[start : start + _ROWS]
        scores, rows = nearest_neighbors(asked, torch.from_numpy(backend.vectors(some)), k)
        found_positions = torch.from_numpy(some)[rows.clamp(min=0)].masked_fill(rows < 0, -1)  # (num_queries, k)
        found.append((scores, found_positions))
        if len(found) > _PARTS:
            found = [merge_neighbors(found, k)]
    scores, found_positions = merge_neighbors(found, k)
    return scores.numpy(), found_positions.numpy()
