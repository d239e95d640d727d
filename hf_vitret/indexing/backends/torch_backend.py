"""`TorchBackend`: exact search of vectors with torch, on a CPU or a GPU, for an index without faiss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ...search.neighbors import nearest_neighbors
from .exact_among import exact_among

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class TorchBackend:
    """All vectors as one float32 array.

    Args:
        dim: Length of a vector.
        num_expected: Number of vectors to reserve memory for. Adding more copies all of them.
    """

    name = "torch"
    kind = "flat"

    def __init__(self, dim: int, *, num_expected: int = 0) -> None:
        self.dim = dim
        self._kept = np.empty((num_expected, dim), dtype=np.float32)
        self._num_vectors = 0
        self._on_device: torch.Tensor | None = None

    @classmethod
    def load(cls, path: Path, *, memory_map: bool) -> TorchBackend:
        """Read a `.npy` file."""
        # Copy on write, because torch warns about arrays that are read-only.
        kept = np.load(path, mmap_mode="c" if memory_map else None, allow_pickle=False)
        if kept.ndim != 2 or kept.dtype != np.float32:
            raise ValueError(f"expected (num_vectors, dim) float32 in {path}; got {kept.dtype} of shape {kept.shape}")
        backend = cls(kept.shape[1])
        backend._kept, backend._num_vectors = kept, len(kept)
        return backend

    @property
    def num_vectors(self) -> int:
        """Number of vectors that were added."""
        return self._num_vectors

    def train(self, sample: np.ndarray) -> None:
        """Do nothing: exact search needs no training."""

    def add(self, embeddings: np.ndarray) -> None:
        """Append vectors."""
        self._on_device = None
        needed = self._num_vectors + len(embeddings)
        if needed > len(self._kept):
            larger = np.empty((max(needed, len(self._kept) * 3 // 2), self.dim), dtype=np.float32)
            larger[: self._num_vectors] = self._kept[: self._num_vectors]
            self._kept = larger
        self._kept[self._num_vectors : needed] = embeddings
        self._num_vectors = needed

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores and positions of the k nearest vectors; see `VectorBackend.search`."""
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if self._on_device is None:
            self._on_device = torch.from_numpy(self._kept[: self._num_vectors]).to(device)
        scores, positions = nearest_neighbors(torch.from_numpy(queries).to(device), self._on_device, k)
        return scores.cpu().numpy(), positions.cpu().numpy()

    def search_without(self, queries: np.ndarray, k: int, is_removed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Search without the removed positions; see `VectorBackend.search_without`."""
        return exact_among(self, queries, k, np.flatnonzero(~is_removed))

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the vectors at some positions; see `VectorBackend.vectors`."""
        chosen: np.ndarray = self._kept[: self._num_vectors][positions]
        return chosen

    def candidate_settings(self) -> list[dict[str, float]]:
        """Return no settings: the search is exact."""
        return []

    def use_settings(self, settings: Mapping[str, float]) -> None:
        """Do nothing: the search is exact."""

    def num_bytes(self) -> int:
        """Return the size of the vectors in bytes."""
        return self._num_vectors * self.dim * 4

    def save(self, path: Path) -> None:
        """Write a `.npy` file."""
        with path.open("wb") as stream:  # for a path without this suffix, `np.save` would append it
            np.save(stream, self._kept[: self._num_vectors])
