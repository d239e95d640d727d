"""The training set as the model sees it: each draw of an image augmented by a seed of its own."""

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import Sampler

from ..data.images import read_image
from .sampler import ClassBalancedSampler
from .transforms import TrainTransform

if TYPE_CHECKING:
    from datasets import Dataset

_DECODED = 16  # images decoded at once: of 4,000 x 3,000 pixels, no JPEG, 600 MB
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

    def __init__(self, sampler: ClassBalancedSampler) -> None:
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


class TrainingImages(TorchDataset[dict[str, Any]]):
    """Read draws of a retrieval data set as augmented examples: `pixel_values`, `labels` and `rows`.

    Args:
        dataset: Columns `image` and `label`.
        transform: The augmentation; it takes its random numbers from torch's generator of the CPU.
        class_ids: Class of each row, `(N,)` int64, 0 to the number of classes - 1.
    """

    def __init__(self, dataset: "Dataset", transform: TrainTransform, class_ids: np.ndarray) -> None:
        from datasets import Image as ImageFeature

        self.images = dataset.select_columns(["image"]).cast_column("image", ImageFeature(decode=False))
        self.transform = transform
        self.class_ids = class_ids

    def __len__(self) -> int:
        """Images in the data set."""
        return len(self.images)

    def __getitem__(self, draw: Draw) -> dict[str, Any]:
        """Read one draw."""
        return self.__getitems__([draw])[0]

    def __getitems__(self, draws: Sequence[Draw]) -> list[dict[str, Any]]:
        """Read a batch of draws. torch's generator is left as it was: the model's dropout goes on where it stood."""
        encoded = self.images[[draw.row for draw in draws]]["image"]
        read = functools.partial(read_image, short_side=self.transform.short_side)
        # Decoders let go of the interpreter's lock. A process that only loads has one thread; on a CPU, the one that
        # trains has all the cores, and none to do while it waits.
        num_threads = torch.get_num_threads()
        state = torch.get_rng_state()
        examples: list[dict[str, Any]] = []
        try:
            with ThreadPoolExecutor(num_threads) if num_threads > 1 else nullcontext() as threads:
                for start in range(0, len(draws), _DECODED):
                    some = encoded[start : start + _DECODED]
                    images = map(read, some) if threads is None else threads.map(read, some)
                    examples += map(self._example, draws[start : start + _DECODED], images)
        finally:
            torch.set_rng_state(state)
        return examples

    def _example(self, draw: Draw, image: Image.Image) -> dict[str, Any]:
        torch.default_generator.manual_seed(draw.seed)  # torch.manual_seed would reseed the GPU too
        return {
            "pixel_values": self.transform.of_rgb(image),
            "labels": int(self.class_ids[draw.row]),
            "rows": draw.row,
        }


def collate(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
    """Stack examples: their `pixel_values` uint8 or `pooled` float32, `labels` and `rows` `(batch,)` int64."""
    (inputs,) = [name for name in ("pixel_values", "pooled") if name in examples[0]]
    if inputs == "pixel_values":  # in the order in which a decoder writes: a copy of whole rows
        values = torch.stack([example[inputs].permute(1, 2, 0) for example in examples]).permute(0, 3, 1, 2)
    else:
        values = torch.stack([example[inputs] for example in examples])
    return {
        inputs: values,
        "labels": torch.tensor([example["labels"] for example in examples], dtype=torch.int64),
        "rows": torch.tensor([example["rows"] for example in examples], dtype=torch.int64),
    }
