"""Dataclasses of tensors as safetensors files: one tensor a field."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from ..data.durable_files import aside, put_in_place


def save_fields(instance: Any, path: str | os.PathLike[str]) -> None:
    """Write a dataclass whose fields are tensors, whole or not at all."""
    from safetensors.torch import save_file

    target = Path(path)
    tensors = {field.name: getattr(instance, field.name).cpu().contiguous() for field in fields(instance)}
    save_file(tensors, aside(target))
    put_in_place(target)


def load_fields(kind: Any, path: str | os.PathLike[str]) -> dict[str, torch.Tensor]:
    """Read the fields of a dataclass that `save_fields` wrote.

    Raises:
        ValueError: The file holds other tensors.
        FileNotFoundError: There is no such file.
    """
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = load_file(Path(path))
    names = [field.name for field in fields(kind)]
    if sorted(tensors) != sorted(names):
        raise ValueError(f"expected the tensors {', '.join(names)} in {path}; got {', '.join(sorted(tensors))}")
    return tensors
