"""A model and its image processor, as two functions: of one image to pixels, of a batch of pixels to vectors."""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..data.images import read_image, to_rgb
from ..inference.forward import check_has_pooled, evaluating, pixels_of, vectors_of
from .compute_dtype import resolve_dtype

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from PIL import Image


class ImageEncoder:
    """Embeds images with a model, on the device where the model is.

    Args:
        model: A `ViTRetModel`, also one loaded with `trust_remote_code`.
        dtype: In which the model computes: `"auto"`, `"float32"`, `"bfloat16"` or `"float16"`, by autocast.
        normalize: False gives the vectors before the L2 norm.

    Attributes:
        device: Where the model is.
        dtype: What is computed in.

    Raises:
        TypeError: Vectors before the norm are asked of a model that does not give them.
        ValueError: There is no such type.
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
        """Decode an image, stored as for `read_image`, to `(3, height, width)` uint8; threads may call it at once.

        Raises:
            ValueError: It is not there, or unreadable.
        """
        try:
            image = read_image(stored)
        except ValueError as error:  # in words that are the same in every run
            raise ValueError(re.sub(r"\s*<[\w.]+ object at 0x[0-9A-Fa-f]+>", "", str(error))) from error
        return self.pixels_of(image)

    def pixels_of(self, image: Image.Image) -> torch.Tensor:
        """Resize and crop an image of any mode as the model's image processor says, to `(3, height, width)` uint8."""
        return pixels_of(self._processor, to_rgb(image))[0]

    def evaluating(self) -> AbstractContextManager[None]:
        """Put the model in evaluation mode for as long as the context lasts; `encode` is called in it."""
        return evaluating(self._model)

    @torch.inference_mode()
    def encode(self, pixels: torch.Tensor) -> torch.Tensor:
        """Embed `(B, 3, H, W)` uint8 pixels to `(B, dim)` float32 on the device, which may be working on it still."""
        is_whole = self.dtype == torch.float32
        with nullcontext() if is_whole else torch.autocast(self.device.type, dtype=self.dtype):
            vectors = vectors_of(self._model, pixels.to(self.device, non_blocking=True), normalize=self._normalize)
        return vectors.float()

    @property
    def dim(self) -> int:
        """Length of a vector, found by embedding a white image once."""
        if self._dim is None:
            from PIL import Image

            with self.evaluating():
                self._dim = self.encode(self.pixels_of(Image.new("RGB", (32, 32), "white"))[None]).shape[1]
        return self._dim
