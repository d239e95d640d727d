"""The images of all splits as one numbered table, none of them decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ....data.schema import column_values
from ..findings import ImageRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from datasets import Dataset


class ImageTable:
    """Numbers the images of a data set from 0, split after split.

    Args:
        dataset: Splits with the columns of the schema.

    Attributes:
        dataset: The same.
        splits: Their names.
        split_codes: `(num_images,)` int64, index into `splits`.
        class_codes: `(num_images,)` int64, equal where the names of the classes are, in whichever split.
        class_names: Name of each class, by its code.
    """

    def __init__(self, dataset: Mapping[str, Dataset]) -> None:
        self.dataset = dataset
        self.splits = tuple(dataset)
        self._stored = undecoded(dataset)
        sizes = [len(split) for split in dataset.values()]
        self._starts = np.cumsum([0, *sizes])
        self._image_ids = [image_id for split in dataset.values() for image_id in column_values(split, "image_id")]
        codes: dict[str, int] = {}
        class_codes = [codes.setdefault(name, len(codes)) for split in dataset.values() for name in _class_names(split)]
        self.class_codes = np.array(class_codes, dtype=np.int64)
        self.split_codes = np.repeat(np.arange(len(sizes), dtype=np.int64), sizes)
        self.class_names = tuple(codes)

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._image_ids)

    def __getitem__(self, number: int) -> ImageRef:
        """Return which image has this number."""
        code = int(self.split_codes[number])
        row = int(number - self._starts[code])
        return ImageRef(
            self.splits[code], row, self._image_ids[number], self.class_names[int(self.class_codes[number])]
        )

    def stored(self, number: int) -> dict[str, Any] | None:
        """Return an image as `datasets.Image(decode=False)` stores it."""
        split, row, *_ = self[number]
        image: dict[str, Any] | None = self._stored[split][row]["image"]
        return image

    def all_stored(self) -> Iterator[dict[str, Any] | None]:
        """Yield every image as it is stored, in order; quicker than one by one."""
        for split in self._stored.values():
            for row in split:
                yield row["image"]

    def select(self, numbers: np.ndarray) -> Iterator[Dataset]:
        """Yield, split after split, the rows of these images: `numbers` ascending; no split without any."""
        for code, name in enumerate(self.splits):
            rows = numbers[self.split_codes[numbers] == code] - self._starts[code]
            if len(rows):
                yield self.dataset[name].select(rows)


def undecoded(dataset: Mapping[str, Dataset]) -> dict[str, Dataset]:
    """Return the images of each split as they are stored: a column `image` of `bytes` and `path`, or null."""
    from datasets import Image

    return {
        name: split.select_columns(["image"]).cast_column("image", Image(decode=False))
        for name, split in dataset.items()
    }


def _class_names(split: Dataset) -> list[str]:
    """Return the name of each row's class; its number, as text, where classes have no names."""
    labels = column_values(split, "label")
    names = getattr(split.features["label"], "names", None)
    return [str(label) if names is None else names[label] for label in labels]
