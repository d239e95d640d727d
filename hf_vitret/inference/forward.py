"""A model run for its vectors alone: in evaluation mode, without what is not pooled, and checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .class_token import class_token_only


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode, its class token alone computed where that is enough, while the context lasts."""
    was_training = model.training
    model.train(False)
    try:
        with class_token_only(model):
            yield
    finally:
        model.train(was_training)


def check_has_pooled(model: nn.Module) -> None:
    """Require a model that gives what comes before its norm.

    Raises:
        TypeError: It does not.
    """
    if not hasattr(model, "pool_images"):
        raise TypeError(
            f"expected a ViTRetModel, whose pool_images gives what comes before the norm; got {type(model).__name__}: "
            "embed with normalize=True, or wrap the backbone by ViTRetModel.from_backbone"
        )


def pixels_of(image_processor: Any, images: Any) -> torch.Tensor:
    """Resize and crop RGB images, one or several, as an image processor says: `(B, 3, H, W)` uint8.

    Normalisation is left to the model: a byte a value travels to the device, not four.
    """
    pixels: torch.Tensor = image_processor(images, do_rescale=False, do_normalize=False, return_tensors="pt")[
        "pixel_values"
    ]
    return pixels


def vectors_of(model: Any, pixels: torch.Tensor, *, normalize: bool) -> torch.Tensor:
    """Embed a batch of pixels, or do all of it but the norm, by the names that checkpoints with older code have too."""
    if normalize:
        embeddings: torch.Tensor = model(pixels).embeddings  # (B, D)
        return embeddings
    pooled: torch.Tensor = model.pool_images(pixels)[0]  # (B, width)
    if model.projection is not None:
        pooled = model.projection(pooled.to(model.projection.weight.dtype))  # (B, D)
    return pooled


def check_finite(embeddings: torch.Tensor) -> None:
    """Require finite rows, `(N, dim)` float.

    Raises:
        ValueError: Some are not; the message names the first.
    """
    broken = (~embeddings.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if broken:
        raise ValueError(
            f"expected finite embeddings; {len(broken)} of {len(embeddings)} are not, first rows {broken[:10]}: "
            "the model has diverged (lower the learning rate) or its weights are damaged"
        )
