"""Reading and augmenting training images: each draw of an image has its own augmentation seed."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler, get_worker_info

from ...data.images import read_image
from .prefetched_batch import Example, PrefetchedBatch, stack
from .sampler import EpochSampler
from .transforms import TrainTransform

if TYPE_CHECKING:
    from datasets import Dataset

_AUGMENTATION_STREAM = 1  # so that the augmentation draws other random numbers than the sampler


class Draw(NamedTuple):
    """One use of one image in an epoch.

    Attributes:
        row: Row of the image in the data set.
        seed: Seed of its augmentation.
    """

    row: int
    seed: int


class DrawSampler(Sampler[Draw]):
    """Add an augmentation seed to each row that a sampler yields.

    The seed depends on the sampler's seed, the epoch and the position alone. An image is therefore cropped in the same
    way whichever process or worker decodes it, with one process or many, and after a resume in the middle of an epoch.

    Args:
        sampler: The sampler that yields the rows.
    """

    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler

    def __len__(self) -> int:
        """Return the number of draws in an epoch."""
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose draws the next iteration yields."""
        self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[Draw]:
        """Yield the draws of one epoch."""
        rng = np.random.default_rng([self.sampler.seed, self.sampler.epoch, _AUGMENTATION_STREAM])
        seeds = rng.integers(2**62, size=len(self.sampler)).tolist()
        for row, seed in zip(self.sampler, seeds):
            yield Draw(row, seed)


class TrainingImages(TorchDataset[Any]):
    """Read draws of a retrieval data set as augmented examples with `pixel_values`, `labels` and `rows`.

    Threads read a batch in the background, and `collate` makes a `PrefetchedBatch` of their futures. A worker process
    of a loader reads its batch at once, because it works ahead of the training process anyway.

    Args:
        dataset: A data set with the columns `image` and `label`.
        transform: The augmentation.
        class_ids: `(N,)` int64, the class of each row, from 0 to the number of classes - 1.
    """

    def __init__(self, dataset: "Dataset", transform: TrainTransform, class_ids: np.ndarray) -> None:
        from datasets import Image as ImageFeature

        self.images = dataset.select_columns(["image"]).cast_column("image", ImageFeature(decode=False))
        self.transform = transform
        self.class_ids = class_ids
        self._threads: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the threads, which another process cannot use."""
        return self.__dict__ | {"_threads": None}

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.images)

    def __getitem__(self, draw: Draw) -> Example:
        """Read and augment one draw."""
        return self._example(draw, self.images[draw.row]["image"])

    def __getitems__(self, draws: Sequence[Draw]) -> Sequence[Example] | Sequence[Future[Example]]:
        """Read a batch of draws: as examples in a worker process, as futures of examples elsewhere."""
        stored = self.images[[draw.row for draw in draws]]["image"]
        if get_worker_info() is not None:
            return [self._example(draw, image) for draw, image in zip(draws, stored, strict=True)]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="training_images")
        return [self._threads.submit(self._example, draw, image) for draw, image in zip(draws, stored, strict=True)]

    def without_augmentation(self, rows: Sequence[int]) -> "Dataset":
        """Return the data set of some rows with a decoded `image` column, as `embed_images` reads it."""
        from datasets import Image as ImageFeature

        return self.images.select(rows).cast_column("image", ImageFeature())

    def _example(self, draw: Draw, stored: Mapping[str, Any]) -> Example:
        image = read_image(stored, self.transform.short_side)
        return {
            "pixel_values": self.transform.of_rgb(image, draw.seed),
            "labels": int(self.class_ids[draw.row]),
            "rows": draw.row,
        }


def collate(examples: Sequence[Any]) -> dict[str, torch.Tensor] | PrefetchedBatch:
    """Make a batch of examples.

    Args:
        examples: Dictionaries with `pixel_values` or `pooled`, `labels` and `rows`, or futures of such dictionaries.

    Returns:
        The stacked tensors by name; of futures, a `PrefetchedBatch` that stacks them when it is read.
    """
    return PrefetchedBatch(examples) if isinstance(examples[0], Future) else stack(examples)
