"""`embed_multi_scale`: embed whole images at any size, as squares or in their own shape, at one or several scales."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from ..data.images import to_rgb
from .forward import check_finite, check_has_pooled, evaluating, vectors_of

if TYPE_CHECKING:
    from datasets import Dataset

RESIZES = ("square", "aspect")
# Number of batches of images that wait for others of their shape. Above it, the most frequent shape is embedded as a
# smaller batch.
_MAX_WAITING = 8

# Arrays, because each tensor of a worker process takes a file descriptor, and a process often has no more than 1,024.
Scales: TypeAlias = "list[np.ndarray[Any, np.dtype[np.uint8]]]"
"""One image at each scale, `(3, height, width)` uint8."""


def embed_multi_scale(
    model: nn.Module,
    images: "Dataset | Sequence[Image.Image]",
    *,
    scales: Sequence[float] = (1.0,),
    image_size: int | None = None,
    resize: str = "square",
    keep_scale: bool = False,
    batch_size: int = 64,
    num_workers: int = 0,
    dtype: torch.dtype | None = None,
    normalize: bool = True,
    progress: bool = True,
    description: str = "Embedding",
) -> torch.Tensor:
    """Embed whole images, without a crop, on the device of the model.

    `"square"` resizes an image to `image_size` x `image_size`, as the paper does for particular objects. `"aspect"`
    resizes its longer side to `image_size`, also if the image is smaller, and keeps its proportions. Sides are rounded
    to whole patches, and position embeddings are interpolated if the backbone supports it. With `keep_scale`, a query
    that was cropped from a larger image keeps the scale that it has when the longer side of the whole image is resized.

    With several scales, the unit vectors are averaged, and the mean is normalised. Each scale is resized from the
    original image. Images of the same shape are embedded together, whatever their order.

    Args:
        model: A `ViTRetModel`, also one loaded with `trust_remote_code`. It is in evaluation mode during the call only.
        images: A data set with an `image` column, or PIL images of any size and mode.
        scales: Multiples of `image_size`, each above 0.
        image_size: Side of the square in pixels, or the longer side with `"aspect"`. None: that of the model.
        resize: `"square"` or `"aspect"`.
        keep_scale: With `"aspect"`: scale an image by the longer side of its `full_size`, a column with the width and
            height in pixels before the crop.
        batch_size: Number of images that are embedded at once.
        num_workers: Number of processes that decode images; 0 decodes in this process.
        dtype: `torch.bfloat16` or `torch.float16` runs the model under autocast. `None`: the dtype of the weights.
        normalize: False returns the vectors before L2 normalisation, at one scale: the input on which a `PCA` or a
            `LearnedWhitening` is fitted that becomes a part of the model.
        progress: Whether to show a progress bar.
        description: Label of the progress bar.

    Returns:
        `(len(images), dim)` float32 on the CPU, in the order of the images; of unit L2 norm unless `normalize` is
        False.

    Raises:
        TypeError: `normalize` is False and the model does not return vectors before L2 normalisation.
        ValueError: There are no images, a setting is outside its domain, `keep_scale` is set and a row has no
            `full_size`, or an embedding is not finite; the message names the first rows.

    Reference:
        Squares: El-Nouby et al., arXiv 2102.05644, section 4.1. Scales: Radenovic et al., arXiv 1711.02512, section
        5.2, and `extract_ms` in the authors' code with `msp` 1, the value that this code uses for all models but GeM
        without whitening. `keep_scale`: the same code. Deviations: that code never enlarges an image, and it
        interpolates the pixels of the first scale for the other scales.
    """
    if len(images) == 0:
        raise ValueError("expected at least one image to embed; got none")
    if not scales or min(scales) <= 0:
        raise ValueError(f"expected scales above 0, at least one; got {list(scales)}")
    if resize not in RESIZES:
        raise ValueError(f"resize must be one of {', '.join(RESIZES)}; got {resize!r}")
    if not normalize:
        check_has_pooled(model)
        if len(scales) > 1:
            raise ValueError(
                f"expected one scale with normalize=False; got {len(scales)}: of several, unit vectors are averaged"
            )
    config: Any = model.config
    side = config.image_size if image_size is None else image_size
    if side < 1:
        raise ValueError(f"image_size must be at least 1 pixel; got {side}")
    if keep_scale and resize == "square":
        raise ValueError("keep_scale needs resize='aspect': a square has one size")
    sides = [side * scale for scale in scales]
    device = next(model.parameters()).device
    loader: DataLoader[Any] = DataLoader(
        images,  # type: ignore[arg-type]  # a Sequence serves as a map-style data set
        batch_size=batch_size,
        num_workers=num_workers,
        collate_fn=_Resize(model.image_processor, sides, patch_side(model), resize, keep_scale),
        generator=torch.Generator(),  # a loader draws a seed, which must not come from the random state of training
    )
    embeddings = torch.empty(0)
    bar = tqdm(total=len(images), desc=description, unit="img", disable=not progress, leave=False)
    with bar, evaluating(model):
        for rows, pixels in _equal_shapes(loader, batch_size):
            with torch.inference_mode(), nullcontext() if dtype is None else torch.autocast(device.type, dtype=dtype):
                vectors = _embed_scales(model, [each.to(device) for each in pixels], normalize)
            if not len(embeddings):
                embeddings = torch.empty(len(images), vectors.shape[1])
            embeddings[rows] = vectors.cpu()
            bar.update(len(rows))
    check_finite(embeddings)
    return embeddings


def patch_side(model: nn.Module) -> int:
    """Return the side of a patch in pixels, of which the sides of an image are multiples; 1 without patches."""
    config: Any = model.config
    return int(getattr(config.backbone_config, "patch_size", 1))


def fitted_size(
    height: int, width: int, side: float, patch: int, resize: str, longer: int | None = None
) -> tuple[int, int]:
    """Return the height and width in pixels to which an image is resized, each a multiple of the patch.

    Args:
        height: Height of the image in pixels.
        width: Width of the image in pixels.
        side: Target in pixels for both sides, or for the longer side with `"aspect"`.
        patch: Side of a patch in pixels.
        resize: `"square"` or `"aspect"`.
        longer: With `"aspect"`: the number of pixels that becomes `side`. None: the longer side of the image.

    Example:
        >>> fitted_size(768, 1024, 384, 16, "square"), fitted_size(768, 1024, 384, 16, "aspect")
        ((384, 384), (288, 384))
        >>> fitted_size(600, 1000, 384, 14, "aspect")  # 230.4 x 384 pixels, in patches of 14
        (224, 378)
    """
    longer = max(height, width) if longer is None else longer
    wanted = (side, side) if resize == "square" else (side * height / longer, side * width / longer)
    rows, columns = (max(1, round(pixels / patch)) * patch for pixels in wanted)
    return rows, columns


class _Resize:
    """Convert rows to uint8 pixels at each scale, with the model's image processor but without its crop."""

    def __init__(self, image_processor: Any, sides: list[float], patch: int, resize: str, keep_scale: bool) -> None:
        self._image_processor = image_processor
        self._sides, self._patch, self._resize, self._keep_scale = sides, patch, resize, keep_scale

    def __call__(self, rows: list[Any]) -> list[Scales]:
        return [self._scales(row) for row in rows]

    def _scales(self, row: Any) -> Scales:
        image = to_rgb(row if isinstance(row, Image.Image) else row["image"])
        longer = None
        if self._keep_scale:
            if isinstance(row, Image.Image) or "full_size" not in row:
                raise ValueError("keep_scale needs rows with full_size, the width and height before the crop")
            longer = max(row["full_size"])
        sizes = [
            fitted_size(image.height, image.width, side, self._patch, self._resize, longer) for side in self._sides
        ]
        return [self._resized(image, *size) for size in sizes]

    def _resized(self, image: Image.Image, height: int, width: int) -> Any:
        # The model normalises the pixels, so that one byte per value is copied to the device, and not four.
        pixels = self._image_processor(
            image,
            size={"height": height, "width": width},
            do_center_crop=False,
            do_rescale=False,
            do_normalize=False,
            return_tensors="np",
        )["pixel_values"]
        return pixels[0]


def _equal_shapes(loader: Iterable[list[Scales]], batch_size: int) -> Iterator[tuple[list[int], list[torch.Tensor]]]:
    """Yield batches of images of the same shape: their rows, and `(B, 3, H, W)` uint8 pixels at each scale."""
    waiting: dict[Any, list[tuple[int, Scales]]] = defaultdict(list)
    row = num_waiting = 0
    for images in loader:
        for image in images:
            shape = tuple(pixels.shape for pixels in image)
            waiting[shape].append((row, image))
            row, num_waiting = row + 1, num_waiting + 1
            if num_waiting == _MAX_WAITING * batch_size:
                shape = max(waiting, key=lambda each: len(waiting[each]))
            if len(waiting[shape]) == batch_size or num_waiting == _MAX_WAITING * batch_size:
                num_waiting -= len(waiting[shape])
                yield _stacked(waiting.pop(shape))
    for some in waiting.values():
        yield _stacked(some)


def _stacked(some: list[tuple[int, Scales]]) -> tuple[list[int], list[torch.Tensor]]:
    rows, images = zip(*some)
    return list(rows), [torch.from_numpy(np.stack(pixels)) for pixels in zip(*images)]


def _embed_scales(model: nn.Module, pixels: list[torch.Tensor], normalize: bool) -> torch.Tensor:
    """Embed a batch at each scale and return the normalised mean, `(B, dim)` float32."""
    vectors = [vectors_of(model, each, normalize=normalize).float() for each in pixels]
    if len(vectors) == 1:
        return vectors[0]
    return nn.functional.normalize(torch.stack(vectors).mean(dim=0), dim=1)
