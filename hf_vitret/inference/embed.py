"""`embed_images`: embed the images of a data set, or PIL images, in memory."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ..data.images import to_rgb
from .forward import check_finite, check_has_pooled, evaluating, pixels_of, vectors_of

if TYPE_CHECKING:
    from datasets import Dataset


class _Preprocess:
    """Collate images into one uint8 batch, resized and cropped by the model's image processor."""

    def __init__(self, image_processor: Any) -> None:
        self.image_processor = image_processor

    def __call__(self, rows: list[Any]) -> torch.Tensor:
        images = [to_rgb(row if isinstance(row, Image.Image) else row["image"]) for row in rows]
        return pixels_of(self.image_processor, images)


def embed_images(
    model: nn.Module,
    images: "Dataset | Sequence[Image.Image]",
    *,
    batch_size: int = 64,
    num_workers: int = 0,
    dtype: torch.dtype | None = None,
    normalize: bool = True,
    progress: bool = True,
    description: str = "Embedding",
) -> torch.Tensor:
    """Embed images with a retrieval model, on the device of the model.

    Args:
        model: A `ViTRetModel`, also one loaded with `trust_remote_code`. It is in evaluation mode during the call only.
        images: A data set with an `image` column, or PIL images of any size and mode.
        batch_size: Number of images that are embedded at once.
        num_workers: Number of processes that decode images; 0 decodes in this process.
        dtype: `torch.bfloat16` or `torch.float16` runs the model under autocast. `None`: the dtype of the weights.
        normalize: False returns the vectors before L2 normalisation, after the projection if the model has one: the
            input on which a `PCA` is fitted.
        progress: Whether to show a progress bar.
        description: Label of the progress bar.

    Returns:
        `(len(images), dim)` float32 on the CPU, in the order of the images; of unit L2 norm unless `normalize` is
        False.

    Raises:
        TypeError: `normalize` is False and the model does not return vectors before L2 normalisation.
        ValueError: There are no images, or an embedding is not finite; the message names the first rows.
    """
    if len(images) == 0:
        raise ValueError("expected at least one image to embed; got none")
    if not normalize:
        check_has_pooled(model)
    device = next(model.parameters()).device
    loader: DataLoader[Any] = DataLoader(
        images,  # type: ignore[arg-type]  # a Sequence serves as a map-style data set
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=_Preprocess(model.image_processor),
        pin_memory=device.type == "cuda",
        generator=torch.Generator(),  # a loader draws a seed, which must not come from the random state of training
    )
    autocast = nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype)
    batches = []
    bar = tqdm(total=len(images), desc=description, unit="img", disable=not progress, leave=False)
    with bar, evaluating(model):
        for pixels in loader:
            with torch.inference_mode(), autocast:
                pixels = pixels.to(device, non_blocking=True)
                vectors = vectors_of(model, pixels, normalize=normalize)  # (B, D)
            batches.append(vectors.float().cpu())
            bar.update(len(pixels))
    embeddings = torch.cat(batches)  # (N, D), outside inference mode, so that training can use this tensor
    check_finite(embeddings)
    return embeddings
