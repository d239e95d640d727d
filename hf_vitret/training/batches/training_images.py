"""The training set as the model sees it: each draw of an image augmented by a seed of its own."""

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

_AUGMENTATION_STREAM = 1  # keeps the augmentation's random numbers apart from the sampler's


class Draw(NamedTuple):
    """One showing of one image.

    Attributes:
        row: Row of the data set.
        seed: Of its augmentation.
    """

    row: int
    seed: int


class DrawSampler(Sampler[Draw]):
    """Give each index of a sampler the seed of its augmentation.

    The seed depends on the sampler's seed, the epoch and the position alone. So an image is cropped the same
    whichever process or worker decodes it, on one process or many, and after a resume in the middle of an epoch.

    Args:
        sampler: What draws the rows.
    """

    def __init__(self, sampler: EpochSampler) -> None:
        self.sampler = sampler

    def __len__(self) -> int:
        """Draws in an epoch."""
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose draws the next iteration gives."""
        self.sampler.set_epoch(epoch)

    def __iter__(self) -> Iterator[Draw]:
        """Yield the draws of one epoch."""
        rng = np.random.default_rng([self.sampler.seed, self.sampler.epoch, _AUGMENTATION_STREAM])
        seeds = rng.integers(2**62, size=len(self.sampler)).tolist()
        for row, seed in zip(self.sampler, seeds):
            yield Draw(row, seed)


class TrainingImages(TorchDataset[Any]):
    """Read draws of a retrieval data set as augmented examples: `pixel_values`, `labels` and `rows`.

    A batch is read by threads, and behind its reader's back: `collate` gives a `PrefetchedBatch`. In a loader's worker,
    which is ahead of its reader anyway, it is read at once.

    Args:
        dataset: Columns `image` and `label`.
        transform: The augmentation.
        class_ids: Class of each row, `(N,)` int64, 0 to the number of classes - 1.
    """

    def __init__(self, dataset: "Dataset", transform: TrainTransform, class_ids: np.ndarray) -> None:
        from datasets import Image as ImageFeature

        self.images = dataset.select_columns(["image"]).cast_column("image", ImageFeature(decode=False))
        self.transform = transform
        self.class_ids = class_ids
        self._threads: ThreadPoolExecutor | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the threads, which are this process's own."""
        return self.__dict__ | {"_threads": None}

    def __len__(self) -> int:
        """Images in the data set."""
        return len(self.images)

    def __getitem__(self, draw: Draw) -> Example:
        """Read one draw."""
        return self._example(draw, self.images[draw.row]["image"])

    def __getitems__(self, draws: Sequence[Draw]) -> Sequence[Example] | Sequence[Future[Example]]:
        """Read a batch of draws, or begin to."""
        stored = self.images[[draw.row for draw in draws]]["image"]
        if get_worker_info() is not None:
            return [self._example(draw, image) for draw, image in zip(draws, stored, strict=True)]
        if self._threads is None:
            self._threads = ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="training_images")
        return [self._threads.submit(self._example, draw, image) for draw, image in zip(draws, stored, strict=True)]

    def without_augmentation(self, rows: Sequence[int]) -> "Dataset":
        """Return some rows as `embed_images` takes them."""
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
    """Stack examples, as `stack` does.

    Returns:
        The batch; or, of examples that threads are still making, one that is stacked when it is read.
    """
    return PrefetchedBatch(examples) if isinstance(examples[0], Future) else stack(examples)
