"""A table of the images of all splits, numbered from 0 and not decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ....data.schema import column_values
from ..findings import ImageRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from datasets import Dataset


class ImageTable:
    """The images of a data set, numbered from 0, split after split.

    Args:
        dataset: Splits with the columns `image`, `label` and `image_id`.

    Attributes:
        dataset: The data set.
        splits: Names of the splits.
        split_codes: `(num_images,)` int64, for each image the index of its split in `splits`.
        class_codes: `(num_images,)` int64, for each image the index of its class in `class_names`. Classes of the same
            name in different splits have the same code.
        class_names: Names of the classes.
        image_ids: For each image its id.
    """

    def __init__(self, dataset: Mapping[str, Dataset]) -> None:
        self.dataset = dataset
        self.splits = tuple(dataset)
        self._stored = undecoded(dataset)
        sizes = [len(split) for split in dataset.values()]
        self._starts = np.cumsum([0, *sizes])
        self.image_ids = [image_id for split in dataset.values() for image_id in column_values(split, "image_id")]
        codes: dict[str, int] = {}
        class_codes = [codes.setdefault(name, len(codes)) for split in dataset.values() for name in _class_names(split)]
        self.class_codes = np.array(class_codes, dtype=np.int64)
        self.split_codes = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
        self.class_names = tuple(codes)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.image_ids)

    def __getitem__(self, number: int) -> ImageRef:
        """Return the reference of the image with a number."""
        code = int(self.split_codes[number])
        row = int(number - self._starts[code])
        return ImageRef(self.splits[code], row, self.image_ids[number], self.class_names[int(self.class_codes[number])])

    def stored(self, number: int) -> dict[str, Any] | None:
        """Return the image with a number as `datasets.Image(decode=False)` stores it: `bytes` and `path`, or `None`."""
        split, row, *_ = self[number]
        image: dict[str, Any] | None = self._stored[split][row]["image"]
        return image

    def all_stored(self) -> Iterator[dict[str, Any] | None]:
        """Yield every image as it is stored, in order; faster than repeated calls of `stored`."""
        for split in self._stored.values():
            for row in split:
                yield row["image"]

    def select(self, numbers: np.ndarray) -> Iterator[Dataset]:
        """Yield the rows of some images, one data set for each split that has any.

        Args:
            numbers: `(num,)` int64, ascending numbers of images.
        """
        for code, name in enumerate(self.splits):
            rows = numbers[self.split_codes[numbers] == code] - self._starts[code]
            if len(rows):
                yield self.dataset[name].select(rows)


def undecoded(dataset: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """Return the column `image` of each split without decoding it: rows of `bytes` and `path`, or `None`."""
    from datasets import Image

    return {
        name: split.select_columns(["image"]).cast_column("image", Image(decode=False))
        for name, split in dataset.items()
    }


def _class_names(split: Dataset) -> list[str]:
    """Return the class name of each row, or the number of the class as text if it has no name."""
    labels = column_values(split, "label")
    names = getattr(split.features["label"], "names", None)
    # `datasets` stores a missing label of a `ClassLabel` as -1, which is no index of `names`.
    return [str(label) if names is None or label is None or label < 0 else names[label] for label in labels]
