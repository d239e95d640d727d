"""What an index needs of whatever keeps its vectors: positions go in and out, never ids."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np

    from .index_choice import IndexPlan

BACKENDS = ("faiss", "torch")


class VectorBackend(Protocol):
    """Vectors in the order in which they were added; the position of the first is 0.

    Attributes:
        name: One of `BACKENDS`.
        kind: One of `KINDS`.
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


def new_backend(
    plan: IndexPlan, dim: int, *, name: str | None = None, seed: int = 0, num_expected: int = 0
) -> VectorBackend:
    """Make an empty backend.

    Args:
        plan: What kind of index.
        dim: Length of a vector.
        name: One of `BACKENDS`. None: faiss where it is installed.
        seed: Of the training.
        num_expected: Vectors to keep room for.

    Raises:
        ImportError: faiss is asked for, and is not installed.
        ValueError: The backend does not exist, or has no such kind.
    """
    if backend_of(name) == "faiss":
        from .faiss_backend import FaissBackend

        return FaissBackend.of_plan(plan, dim, seed)
    from .torch_backend import TorchBackend

    if plan.kind != "flat":
        raise ValueError(
            f"without faiss the search is exact, of kind flat; got {plan.kind}: install hf_vitret[cpu], or ask for flat"
        )
    return TorchBackend(dim, num_expected=num_expected)


def load_backend(name: str, kind: str, path: Path, *, memory_map: bool) -> VectorBackend:
    """Read what `save` of a backend wrote, mapped into memory where asked for.

    Raises:
        ImportError: It was written by faiss, which is not installed.
        ValueError: The backend does not exist.
    """
    if backend_of(name) == "faiss":
        from .faiss_backend import FaissBackend

        return FaissBackend.load(path, kind, memory_map=memory_map)
    from .torch_backend import TorchBackend

    return TorchBackend.load(path, memory_map=memory_map)


def backend_of(name: str | None) -> str:
    """Return the name of a backend that can be used: faiss where it is installed, for None.

    Raises:
        ValueError: There is no such backend.
    """
    if name is None:
        return "faiss" if find_spec("faiss") is not None else "torch"
    if name not in BACKENDS:
        raise ValueError(f"expected a backend of {', '.join(BACKENDS)}; got {name!r}")
    return name


def import_faiss() -> Any:
    """Import faiss.

    Raises:
        ImportError: It is not installed; the message says how to install it.
    """
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "this index is searched by faiss, which is not installed: pip install hf_vitret[cpu], or hf_vitret[gpu]"
        ) from error
    return faiss
