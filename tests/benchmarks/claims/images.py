"""The images of the claims: classes that are trained on, and others that are never."""

import functools
import io
import sys

import datasets
import numpy as np
from datasets import Dataset, DatasetDict
from PIL import Image

from hf_vitret import load_retrieval_dataset
from hf_vitret.data.images import read_image
from hf_vitret.data.schema import column_values
from hf_vitret.training.batches.transforms import TrainTransform

from ..harness.development_data import EMOJI


@functools.cache
def load(data: str, side: int) -> DatasetDict:
    """Load a data set as bitmaps resized to a side; end, loudly, where it is missing."""
    if data == "emoji" and not EMOJI.is_file():
        sys.exit(f"THE DEVELOPMENT DATA IS NOT HERE: {EMOJI}")
    dataset = (
        load_retrieval_dataset("icons", size=112, min_drawings=3)
        if data == "icons"
        else load_retrieval_dataset("catalogue", data_dir=EMOJI, label_column="name")
    )
    return DatasetDict({split: _bitmaps(images, side) for split, images in dataset.items()})


def some_classes(images: Dataset, count: int | None, seed: int) -> Dataset:
    """Keep that many classes, drawn at random; all of them for `None`."""
    if count is None:
        return images
    labels = np.asarray(column_values(images, "label"))
    kept = np.random.default_rng(seed).permutation(np.unique(labels))[:count]
    return images.select(np.flatnonzero(np.isin(labels, kept)))


def _bitmaps(images: Dataset, side: int) -> Dataset:
    # A crop as large as the image is the image, resized as training resizes it.
    resize = TrainTransform(image_size=side, resize_size=side, flip=0.0).of_rgb

    def decode(row: dict[str, dict[str, bytes | None]]) -> dict[str, dict[str, bytes | None]]:
        file = io.BytesIO()
        pixels = resize(read_image(row["image"]), seed=0)  # (3, side, side)
        Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(file, "BMP")
        return {"image": {"bytes": file.getvalue(), "path": None}}

    stored = images.cast_column("image", datasets.Image(decode=False))
    return stored.map(decode, keep_in_memory=True).cast_column("image", datasets.Image())
