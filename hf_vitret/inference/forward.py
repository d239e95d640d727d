"""The parts that every function that embeds images shares: evaluation mode, pixels, vectors and their checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .class_token import class_token_only


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Return a context in which a model is in evaluation mode, and `class_token_only` if the class token is pooled."""
    was_training = model.training
    model.train(False)
    try:
        with class_token_only(model):
            yield
    finally:
        model.train(was_training)


def check_has_pooled(model: nn.Module) -> None:
    """Check that a model can return its vectors before L2 normalisation.

    Raises:
        TypeError: It cannot.
    """
    if not hasattr(model, "pool_images"):
        raise TypeError(
            "expected a ViTRetModel, whose pool_images returns vectors before L2 normalisation; got "
            f"{type(model).__name__}: embed with normalize=True, or load the backbone with ViTRetModel.from_backbone"
        )


def pixels_of(image_processor: Any, images: Any) -> torch.Tensor:
    """Resize and crop one or more RGB images with an image processor, to `(B, 3, H, W)` uint8.

    The model normalises the pixels, so that one byte per value is copied to the device, and not four.
    """
    pixels: torch.Tensor = image_processor(images, do_rescale=False, do_normalize=False, return_tensors="pt")[
        "pixel_values"
    ]
    return pixels


def vectors_of(model: Any, pixels: torch.Tensor, *, normalize: bool) -> torch.Tensor:
    """Embed a batch of pixels, with or without the L2 norm, by attributes that the code in old checkpoints has too."""
    if normalize:
        embeddings: torch.Tensor = model(pixels).embeddings  # (B, D)
        return embeddings
    pooled: torch.Tensor = model.pool_images(pixels)[0]  # (B, width)
    if model.projection is not None:
        pooled = model.projection(pooled.to(model.projection.weight.dtype))  # (B, D)
    return pooled


def check_finite(embeddings: torch.Tensor) -> None:
    """Check that all embeddings, `(N, dim)` float, are finite.

    Raises:
        ValueError: Some are not; the message names the first rows.
    """
    broken = (~embeddings.isfinite().all(dim=1)).nonzero().flatten().tolist()
    if broken:
        raise ValueError(
            f"expected finite embeddings; {len(broken)} of {len(embeddings)} are not, first rows {broken[:10]}: "
            "the model has diverged (lower the learning rate) or its weights are damaged"
        )
