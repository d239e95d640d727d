"""Dataclasses of tensors as safetensors files: one tensor a field."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from .atomic_writes import whole_file

T = TypeVar("T", bound="TensorFields")


class TensorFields:
    """A dataclass whose fields are tensors: it can be written to a file, and read."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write to a safetensors file, whole or not at all."""
        from safetensors.torch import save_file

        target, own = Path(path), fields(self)  # type: ignore[arg-type]  # whoever derives from this is a dataclass
        with whole_file(target) as partial:
            save_file({field.name: getattr(self, field.name).cpu().contiguous() for field in own}, partial)

    @classmethod
    def load(cls: type[T], path: str | os.PathLike[str]) -> T:
        """Read what `save` wrote.

        Raises:
            ValueError: The file holds other tensors.
            FileNotFoundError: There is no such file.
        """
        from safetensors.torch import load_file

        tensors: dict[str, Any] = load_file(Path(path))
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
        if sorted(tensors) != sorted(names):
            raise ValueError(f"expected the tensors {', '.join(names)} in {path}; got {', '.join(sorted(tensors))}")
        return cls(**tensors)
