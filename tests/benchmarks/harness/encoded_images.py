"""Encoded images in memory, as a loop of torch's own reads them: decoded and augmented one by one."""

import io

import datasets
import torch
from PIL import Image
from torchvision.transforms import v2

from hf_vitret.data.schema import column_values
from hf_vitret.models.configuration_vitret import IMAGENET_MEAN, IMAGENET_STD


class EncodedImages(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Resize images by their short side, crop and flip them at random, and normalise them.

    Args:
        images: Columns `image` and `label`.
        resized: Short side in pixels before the crop.
        side: Of the crop.
        flip: Probability of a horizontal flip.
    """

    def __init__(self, images: datasets.Dataset, resized: int, side: int, flip: float) -> None:
        stored = column_values(images.cast_column("image", datasets.Image(decode=False)), "image")
        self.encoded = [image["bytes"] for image in stored]
        self.labels = column_values(images, "label")
        self.transform = v2.Compose(
            [
                v2.Resize(resized, interpolation=v2.InterpolationMode.BICUBIC),
                v2.RandomCrop(side),
                *([v2.RandomHorizontalFlip(flip)] if flip else []),
                v2.ToImage(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.encoded)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        image = Image.open(io.BytesIO(self.encoded[row])).convert("RGB")
        return self.transform(image), self.labels[row]
