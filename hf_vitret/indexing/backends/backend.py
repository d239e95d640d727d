"""Create a backend by its name, or load it from a file."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .index_plan import IndexPlan
    from .vector_backend import VectorBackend

BACKENDS = ("faiss", "torch")


def new_backend(
    plan: IndexPlan, dim: int, *, name: str | None = None, seed: int = 0, num_expected: int = 0
) -> VectorBackend:
    """Create an empty backend.

    Args:
        plan: The kind of index to build.
        dim: Length of a vector.
        name: One of `BACKENDS`. None: faiss if it is installed.
        seed: Seed of the training.
        num_expected: Number of vectors to reserve memory for.

    Raises:
        ImportError: faiss was requested and is not installed.
        ValueError: There is no such backend, or it has no such kind.
    """
    if backend_of(name) == "faiss":
        from .faiss_backend import FaissBackend

        return FaissBackend.of_plan(plan, dim, seed, num_expected)
    from .torch_backend import TorchBackend

    if plan.kind != "flat":
        raise ValueError(
            f"without faiss the search is exact, of kind flat; got {plan.kind}: choose flat, or pip install "
            "'hf_vitret[cpu]'"
        )
    return TorchBackend(dim, num_expected=num_expected)


def load_backend(name: str, kind: str, path: Path, *, memory_map: bool) -> VectorBackend:
    """Read the file that a backend saved.

    Args:
        name: Name of the backend.
        kind: Kind of the index.
        path: The file.
        memory_map: Whether the vectors stay on the disk until a search reads them.

    Raises:
        ImportError: faiss wrote the file and is not installed.
        ValueError: There is no such backend.
    """
    if backend_of(name) == "faiss":
        from .faiss_backend import FaissBackend

        return FaissBackend.load(path, kind, memory_map=memory_map)
    from .torch_backend import TorchBackend

    return TorchBackend.load(path, memory_map=memory_map)


def backend_of(name: str | None) -> str:
    """Return the name of a backend; for None, faiss if it is installed, else torch.

    Raises:
        ValueError: There is no such backend.
    """
    if name is None:
        return "faiss" if find_spec("faiss") is not None else "torch"
    if name not in BACKENDS:
        raise ValueError(f"expected a backend of {', '.join(BACKENDS)}; got {name!r}")
    return name
