"""In which type a model computes: bfloat16 where the device has instructions for it, else float32."""

from __future__ import annotations

import torch

from ..inference.fast_bf16 import has_fast_bf16
from .choices import COMPUTE_DTYPES


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the type that a name stands for on a device.

    Raises:
        ValueError: There is no such name.
    """
    if dtype not in COMPUTE_DTYPES:
        raise ValueError(f"dtype is one of {', '.join(COMPUTE_DTYPES)}; got {dtype!r}")
    if dtype == "auto":
        return torch.bfloat16 if has_fast_bf16(device) else torch.float32
    resolved: torch.dtype = getattr(torch, dtype)
    return resolved
