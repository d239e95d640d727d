"""`ImageEncoder`: a model and its image processor as two functions, from image to pixels and from pixels to vectors."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..data.images import read_image, to_rgb
from ..inference.fast_bf16 import has_fast_bf16
from ..inference.forward import check_has_pooled, evaluating, pixels_of, vectors_of
from .choices import COMPUTE_DTYPES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from PIL import Image


class ImageEncoder:
    """Embed images with a model, on the device of the model.

    Args:
        model: A `ViTRetModel`, also one loaded with `trust_remote_code`.
        dtype: Data type in which the model computes, by autocast: `"auto"` (bfloat16 if it is faster than float32 on
            the device), `"float32"`, `"bfloat16"` or `"float16"`.
        normalize: False returns the vectors before L2 normalisation.

    Attributes:
        device: The device of the model.
        dtype: The data type in which the model computes.

    Raises:
        TypeError: `normalize` is False and the model does not return vectors before L2 normalisation.
        ValueError: `dtype` is not one of these names.
    """

    def __init__(self, model: nn.Module, *, dtype: str = "auto", normalize: bool = True) -> None:
        if not normalize:
            check_has_pooled(model)
        self.device = next(model.parameters()).device
        self.dtype = resolve_dtype(dtype, self.device)
        self._model, self._normalize = model, normalize
        self._processor: Any = model.image_processor
        self._dim: int | None = None

    def read_pixels(self, stored: Mapping[str, Any] | None) -> torch.Tensor:
        """Decode, resize and crop an image. Several threads may call this at once.

        Args:
            stored: A dict with the encoded image as `bytes`, or else its file as `path`. None: a missing image.

        Returns:
            `(3, height, width)` uint8.

        Raises:
            ValueError: The image is missing or cannot be read.
        """
        return self.pixels_of(read_image(stored))

    def pixels_of(self, image: Image.Image) -> torch.Tensor:
        """Resize and crop an image of any mode with the model's image processor, to `(3, height, width)` uint8."""
        return pixels_of(self._processor, to_rgb(image))[0]

    def evaluating(self) -> AbstractContextManager[None]:
        """Return a context in which the model is in evaluation mode, and in which `encode` must be called."""
        return evaluating(self._model)

    @torch.inference_mode()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed pixels, `(B, 3, H, W)` uint8, to `(B, dim)` float32 on the device, whose work may not be finished."""
        is_whole = self.dtype == torch.float32
        with nullcontext() if is_whole else torch.autocast(self.device.type, dtype=self.dtype):
            vectors = vectors_of(self._model, pixels.to(self.device, non_blocking=True), normalize=self._normalize)
        return vectors.float()

    @property
    def dim(self) -> int:
        """Length of a vector, which is found by embedding a white image once."""
        if self._dim is None:
            from PIL import Image

            with self.evaluating():
                self._dim = self.encode(self.pixels_of(Image.new("RGB", (32, 32), "white"))[None]).shape[1]
        return self._dim


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Return the data type in which a model computes on a device.

    Args:
        dtype: `"auto"` (bfloat16 if it is faster than float32 on the device), `"float32"`, `"bfloat16"` or `"float16"`.
        device: The device.

    Raises:
        ValueError: `dtype` is not one of these names.
    """
    if dtype not in COMPUTE_DTYPES:
        raise ValueError(f"expected a dtype of {', '.join(COMPUTE_DTYPES)}; got {dtype!r}")
    if dtype == "auto":
        return torch.bfloat16 if has_fast_bf16(device) else torch.float32
    resolved: torch.dtype = getattr(torch, dtype)
    return resolved
