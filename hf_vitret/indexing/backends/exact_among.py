"""Exact search among some of the vectors of an index, a few thousand at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...search.neighbors import merge_neighbors, nearest_neighbors

if TYPE_CHECKING:
    from .vector_backend import VectorBackend

_ROWS = 16_384  # of 128 dimensions 8 MB
# Parts merged at once: the best of each, and never as many lists as there are parts.
_PARTS = 32


def exact_among(
    backend: VectorBackend, queries: np.ndarray, k: int, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest of the vectors at some positions; all of them are compared.

    Args:
        backend: What keeps the vectors. Those that it rounds are compared as they are kept.
        queries: `(num_queries, dim)` float32.
        k: How many, at least 1.
        positions: `(num_chosen,)` int64, ascending.

    Returns:
        Scores `(num_queries, k)` float32, descending, and positions int64; -inf and -1 where there are no more.
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
        places = torch.from_numpy(some)[rows.clamp(min=0)].masked_fill(rows < 0, -1)  # (num_queries, k)
        found.append((scores, places))
        if len(found) > _PARTS:
            found = [merge_neighbors(found, k)]
    scores, places = merge_neighbors(found, k)
    return scores.numpy(), places.numpy()
