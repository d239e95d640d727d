"""`load_on`: load a model to one of several devices."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from ..inference.load_model import load_model

if TYPE_CHECKING:
    from ..models.modeling_vitret import ViTRetModel


def load_on(source: str, device: torch.device, **options: Any) -> ViTRetModel:
    """Load a model with `load_model` to a device, without memory on any other accelerator.

    Args:
        source: Folder or Hub id of the model.
        device: The device.
        **options: Further arguments of `load_model`.
    """
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        model = load_model(source, **options)
    model.to(device)  # type: ignore[arg-type]  # transformers' own wrapper
    return model
