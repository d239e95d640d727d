"""`VectorBackend`: the protocol of a class that stores and searches the vectors of an index, by position."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np


class VectorBackend(Protocol):
    """Vectors in the order in which they were added; the first has position 0.

    Attributes:
        name: `"faiss"` or `"torch"`.
        kind: One of `KINDS` in `index_plan`.
        dim: Length of a vector.
    """

    name: str
    kind: str
    dim: int

    @property
    def num_vectors(self) -> int:
        """Number of vectors that were added."""

    def train(self, sample: np.ndarray) -> None:
        """Learn cells and codes from `(num_rows, dim)` float32, if the kind has them."""

    def add(self, embeddings: np.ndarray) -> None:
        """Append vectors, `(num_rows, dim)` float32."""

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest vectors of each query, `(num_queries, dim)` float32.

        Returns:
            scores: `(num_queries, k)` float32, descending; -inf if there are fewer than k vectors.
            positions: `(num_queries, k)` int64; -1 if there are fewer than k vectors.
        """

    def search_without(self, queries: np.ndarray, k: int, is_removed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest vectors of each query among those that were not removed.

        Args:
            queries: `(num_queries, dim)` float32.
            k: Number of vectors to find, at least 1.
            is_removed: `(num_vectors,)` bool.

        Returns:
            scores: `(num_queries, k)` float32, descending; -inf if there are fewer than k vectors.
            positions: `(num_queries, k)` int64; -1 if there are fewer than k vectors.
        """

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the vectors at some positions as stored, rounded if the kind rounds: `(num_rows, dim)` float32."""

    def candidate_settings(self) -> list[dict[str, float]]:
        """Return search settings, from the fastest to the most thorough; empty if the search is exact."""

    def use_settings(self, settings: Mapping[str, float]) -> None:
        """Search with some of the candidate settings from now on."""

    def num_bytes(self) -> int:
        """Return the size of the index in bytes."""

    def save(self, path: Path) -> None:
        """Write the vectors to a file."""
