"""A training set with numbered classes, made of images or of cached outputs of a frozen backbone."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...data.schema import COLUMNS, column_values
from .cached_features import CachedFeatures
from .sampler import EpochSampler
from .training_images import DrawSampler, TrainingImages
from .transforms import TrainTransform

if TYPE_CHECKING:
    from datasets import Dataset


class TrainingSet:
    """Number the classes of a data set and turn its rows into training examples.

    Args:
        dataset: A data set with the columns `image` and `label`, and `image_id` if the images have names; or
            `CachedFeatures`. Labels may be any integers.
        transform: The augmentation of the images. Cached features are not augmented.

    Attributes:
        class_ids: `(N,)` int64, the class of each row, from 0 to the number of classes - 1.
        examples: The examples that a loader reads.

    Raises:
        ValueError: A column is missing.
    """

    def __init__(self, dataset: "Dataset | CachedFeatures", transform: TrainTransform) -> None:
        self.examples: TrainingImages | CachedFeatures
        self._names: Dataset | None = None
        if isinstance(dataset, CachedFeatures):
            self.class_ids = _numbered(dataset.labels.numpy())
            self.examples = CachedFeatures(dataset.pooled, torch.from_numpy(self.class_ids))
            return
        missing = [name for name in COLUMNS[:2] if name not in dataset.column_names]
        if missing:
            raise ValueError(
                f"expected a training set with the columns {', '.join(COLUMNS)}; got "
                f"{', '.join(dataset.column_names)}. Rename the columns, or load the data with load_retrieval_dataset"
            )
        self.class_ids = _numbered(np.asarray(column_values(dataset, "label")))
        self.examples = TrainingImages(dataset, transform, self.class_ids)
        if "image_id" in dataset.column_names:
            self._names = dataset.select_columns(["image_id"])

    @property
    def num_classes(self) -> int:
        """Return the number of classes."""
        return int(self.class_ids.max()) + 1

    def order(self, sampler: EpochSampler) -> DrawSampler | EpochSampler:
        """Return the sampler for a loader, which adds augmentation seeds to the rows if the examples are images."""
        return DrawSampler(sampler) if isinstance(self.examples, TrainingImages) else sampler

    def image_ids(self, rows: Sequence[int]) -> list[str]:
        """Return the image ids of rows, for an error message; `row N` if the images have no names."""
        if self._names is None:
            return [f"row {row}" for row in rows]
        names: list[str] = self._names[list(rows)]["image_id"]
        return names


def _numbered(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
