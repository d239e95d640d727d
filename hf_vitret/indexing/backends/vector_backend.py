"""What an index needs of whatever keeps its vectors: positions go in and out, never ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np


class VectorBackend(Protocol):
    """Vectors in the order in which they were added; the position of the first is 0.

    Attributes:
        name: `"faiss"` or `"torch"`.
        kind: One of `KINDS` of index_choice.
        dim: Length of a vector.
    """

    name: str
    kind: str
    dim: int

    @property
    def num_vectors(self) -> int:
        """How many have been added."""

    def train(self, sample: np.ndarray) -> None:
        """Learn cells and codes from `(num_rows, dim)` float32, where the kind has any."""

    def add(self, embeddings: np.ndarray) -> None:
        """Append `(num_rows, dim)` float32."""

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return float32 scores, descending, and int64 positions, -1 where there are no more, `(num_queries, k)`."""

    def search_without(self, queries: np.ndarray, k: int, is_removed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """As `search`, without the positions where `is_removed`, `(num_vectors,)` bool, says so."""

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return some vectors as they are kept: float32 `(num_positions, dim)`, rounded where the kind rounds."""

    def ladder(self) -> list[dict[str, float]]:
        """Return settings of a search, from the fastest to the most thorough; empty where it is exact."""

    def set_effort(self, settings: Mapping[str, float]) -> None:
        """Search with some settings of the ladder from now on."""

    def num_bytes(self) -> int:
        """Count the bytes of the index."""

    def save(self, path: Path) -> None:
        """Write the vectors into a file."""
