"""A model loaded onto one device among several."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from ..inference.load_model import load_model

if TYPE_CHECKING:
    from ..models.modeling_vitret import ViTRetModel


def load_on(source: str, device: torch.device, **options: Any) -> ViTRetModel:
    """Load a model as `load_model` does, onto a device; no other one is touched.

    Args:
        source: Folder or id on the Hub.
        device: As `own_device` gives it.
        **options: Of `load_model`.
    """
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        model = load_model(source, **options)
    model.to(device)  # type: ignore[arg-type]  # transformers' own wrapper
    return model
