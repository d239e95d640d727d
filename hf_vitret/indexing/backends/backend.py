"""Which backend keeps the vectors of an index: made by name, or read."""

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

        return FaissBackend.of_plan(plan, dim, seed, num_expected)
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
