"""Random images drawn from a seed, and small data sets of them."""

import io

import numpy as np
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from PIL import Image as PilImage


def picture(seed, size=(96, 80)):
    """Draw smooth patches of colour; images of different seeds are not near duplicates."""
    values = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return PilImage.fromarray(values).resize(size, PilImage.Resampling.BICUBIC)


def encode(image, file_format="PNG", **options):
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def make_split(rows, class_names=("cup", "pot")):
    """Make a split of rows `(encoded image or None, class, image_id)`.

    The class is an index into `class_names`, or any number if they are `None`.
    """
    label = Value("int64") if class_names is None else ClassLabel(names=list(class_names))
    images = [None if content is None else {"bytes": content, "path": None} for content, _, _ in rows]
    return Dataset.from_dict(
        {"image": images, "label": [row[1] for row in rows], "image_id": [row[2] for row in rows]},
        features=Features(image=Image(), label=label, image_id=Value("string")),
    )


def clean_dataset(per_class=3):
    """Make `train` and `test` without defects, with different images and classes."""
    splits = {}
    for offset, split in ((0, "train"), (1000, "test")):
        rows = [
            (encode(picture(offset + 100 * label + number)), label + 2 * (split == "test"), f"{split}/{label}/{number}")
            for label in range(2)
            for number in range(per_class)
        ]
        splits[split] = make_split(rows, ("cup", "pot", "jug", "lid"))
    return DatasetDict(splits)
