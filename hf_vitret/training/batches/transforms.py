"""Training augmentations, from an image to a crop of uint8 pixels; the model normalises the pixels on its device."""

import math
from collections.abc import Callable
from random import Random

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from ...data.images import to_rgb

SMALLEST_SCALE, WIDEST_RATIO = 0.2, 4 / 3  # random resized crop: smallest share of the area, largest ratio of the sides
# The shorter side of such a crop is at least the shorter side of the image divided by this.
_MOST_ENLARGED = math.sqrt(WIDEST_RATIO / SMALLEST_SCALE)
_CROP_TRIES = 10  # draws of a random resized crop before it takes the middle of the image, as in torchvision


def random_crop(image: Image.Image, rng: Random, image_size: int, resize_size: int, resize_mode: str) -> torch.Tensor:
    """Resize an image and crop it at random: the paper's augmentation (256, then 224 pixels).

    The paper (arXiv 2102.05644, section 4.1) writes "256 x 256". Here `resize_mode` decides, and by default the short
    side is resized: an independent reproduction of the off-the-shelf scores to within 0.3 resized the short side, so
    the paper's authors probably did too.

    Args:
        image: An image of mode RGB.
        rng: The generator of the random numbers.
        image_size: Side of the crop in pixels.
        resize_size: Side of the resized image in pixels.
        resize_mode: `"shortest_edge"` resizes the short side to `resize_size` and keeps the ratio of the sides;
            `"square"` resizes both sides to it.

    Returns:
        `(image_size, image_size, 3)` uint8. A crop larger than the resized image repeats the pixels at its edges.
    """
    width, height = image.size
    enlarged = resize_size / min(width, height)
    size = (resize_size, resize_size)
    if resize_mode == "shortest_edge":
        size = (max(resize_size, int(width * enlarged)), max(resize_size, int(height * enlarged)))
    padded = [max(side, image_size) for side in size]  # larger than `size` if the crop is larger than the resized image
    left, top = (rng.randint(0, side - image_size) for side in padded)
    if image.size == size == tuple(padded):  # such as a prepared image: only the crop is copied
        return _pixels(image.crop((left, top, left + image_size, top + image_size)))
    pixels = _resize(_pixels(image), size)
    if size != tuple(padded):
        before = [(wanted - side) // 2 for wanted, side in zip(padded, size, strict=True)]
        after = [wanted - side - lead for wanted, side, lead in zip(padded, size, before, strict=True)]
        pixels = F.pad(pixels.permute(2, 0, 1), [*before, *after], padding_mode="edge").permute(1, 2, 0)
    return pixels[top : top + image_size, left : left + image_size]


def random_resized_crop(
    image: Image.Image, rng: Random, image_size: int, resize_size: int, resize_mode: str
) -> torch.Tensor:
    """Crop 20 to 100% of the area and resize the crop: the augmentation in the code of the cross-batch memory (XBM).

    Args:
        image: An image of mode RGB.
        rng: The generator of the random numbers.
        image_size: Side of the result in pixels.
        resize_size: Not used.
        resize_mode: Not used.

    Returns:
        `(image_size, image_size, 3)` uint8.
    """
    width, height = image.size
    crop_width, crop_height = width, height
    for _ in range(_CROP_TRIES):
        area = width * height * rng.uniform(SMALLEST_SCALE, 1)
        ratio = math.exp(rng.uniform(-math.log(WIDEST_RATIO), math.log(WIDEST_RATIO)))
        crop_width, crop_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left, top = rng.randint(0, width - crop_width), rng.randint(0, height - crop_height)
            break
    else:  # a very long image: the largest crop of its middle with at most the largest ratio
        crop_width = min(width, max(1, round(height * WIDEST_RATIO)))
        crop_height = min(height, max(1, round(width * WIDEST_RATIO)))
        left, top = (width - crop_width) // 2, (height - crop_height) // 2
    crop = image.crop((left, top, left + crop_width, top + crop_height))
    return _resize(_pixels(crop), (image_size, image_size))


AUGMENTATIONS: dict[str, Callable[[Image.Image, Random, int, int, str], torch.Tensor]] = {
    "random_crop": random_crop,
    "random_resized_crop": random_resized_crop,
}


class TrainTransform:
    """Augment an image for training, by a seed that is passed with it; threads may share one transform.

    Args:
        augmentation: `"random_crop"` (of the paper) or `"random_resized_crop"` (of the cross-batch memory, XBM).
        image_size: Side of the crop in pixels.
        resize_size: Side in pixels to which an image is resized before a random crop.
        resize_mode: `"shortest_edge"` resizes the short side, `"square"` both sides, as in `ViTRetConfig`.
        flip: Probability of a horizontal flip, 0 to 1.

    Attributes:
        short_side: Length in pixels of the short side that the augmentation needs: a JPEG may be decoded at a smaller
            size, down to this one.

    Raises:
        ValueError: There is no such augmentation, or the flip probability is outside 0 to 1.
    """

    def __init__(
        self,
        augmentation: str = "random_crop",
        *,
        image_size: int = 224,
        resize_size: int = 256,
        resize_mode: str = "shortest_edge",
        flip: float = 0.5,
    ) -> None:
        if augmentation not in AUGMENTATIONS:
            raise ValueError(f"augmentation must be one of {', '.join(AUGMENTATIONS)}; got {augmentation!r}")
        if not 0 <= flip <= 1:
            raise ValueError(f"flip must be a probability from 0 to 1; got {flip}")
        self.short_side = resize_size if augmentation == "random_crop" else math.ceil(image_size * _MOST_ENLARGED)
        self.augmentation = augmentation
        self.image_size = image_size
        self.resize_size = resize_size
        self.resize_mode = resize_mode
        self.flip = flip

    def __call__(self, image: Image.Image, seed: int) -> torch.Tensor:
        """Return the crop of an image of any mode for a seed, `(3, image_size, image_size)` uint8."""
        return self.of_rgb(to_rgb(image), seed)

    def of_rgb(self, image: Image.Image, seed: int) -> torch.Tensor:
        """Return the crop of an upright image of mode RGB for a seed, `(3, image_size, image_size)` uint8."""
        rng = Random(seed)
        augment = AUGMENTATIONS[self.augmentation]
        pixels = augment(image, rng, self.image_size, self.resize_size, self.resize_mode)  # (S, S, 3)
        if rng.random() < self.flip:
            # By numpy: torch would start threads of its own in each thread that reads images, and slow the model down.
            pixels = torch.from_numpy(np.ascontiguousarray(pixels.numpy()[:, ::-1]))
        return pixels.permute(2, 0, 1)


def _pixels(image: Image.Image) -> torch.Tensor:
    """Copy an RGB image to `(height, width, 3)` uint8."""
    return torch.from_numpy(np.array(image))


def _resize(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize `(height, width, 3)` uint8 to `size`, a width and a height."""
    resized: torch.Tensor = F.resize(
        pixels.permute(2, 0, 1), [size[1], size[0]], interpolation=v2.InterpolationMode.BICUBIC, antialias=True
    )
    return resized.permute(1, 2, 0)
