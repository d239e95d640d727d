"""Samplers of batches of P classes x K images, whose order depends on the seed and the epoch alone."""

import heapq
import logging
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

logger = logging.getLogger(__name__)


class EpochSampler(Sampler[int]):
    """Base class of samplers that yield rows of a training set in an order that seed and epoch determine.

    Consecutive runs of `batch_size` rows are batches.

    Args:
        batch_size: Number of images in a batch of all processes together.
        seed: Seed of the order, together with the epoch.

    Attributes:
        epoch: The epoch whose order the next iteration yields.
    """

    def __init__(self, batch_size: int, seed: int) -> None:
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        """Return the number of indices in an epoch: a multiple of `batch_size`, the same in every epoch."""
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration yields."""
        self.epoch = epoch


class ClassBalancedSampler(EpochSampler):
    """Order a labelled data set so that each run of `batch_size` indices holds P classes x K images.

    In each epoch, every class of two or more images is cut into groups of `min(K, class size)` distinct images. A last
    group that is too small is filled up with other images of its class. The groups of one class go to different
    batches, always to those that are least full. In every epoch therefore

    * every image of every class of two or more images is shown,
    * no image is in a batch twice,
    * each batch is exactly `batch_size` long, and holds exactly P classes x K images if all classes have
      K images or more. Smaller classes give smaller groups, and their batches hold more classes.

    Classes of one image have no positive pair and are left out.

    The sampler yields indices, not batches, and does not depend on the rank. `batch_size` is the size of the batch of
    all processes together; accelerate gives consecutive parts of it to the ranks, so that the order is the same for
    any number of processes.

    Args:
        labels: `(N,)` integers, the label of each image.
        batch_size: Number of images in a batch of all processes together, P * K.
        images_per_class: K, at least 2.
        seed: Seed of the order, together with the epoch.

    Attributes:
        num_singletons: Number of classes of one image, which are left out.
        num_batches: Number of batches in an epoch.

    Raises:
        ValueError: The batch size is no multiple of K, or the data set has too few images of different classes to fill
            one batch without showing an image twice.

    Example:
        >>> sampler = ClassBalancedSampler([0, 0, 1, 1, 2, 2, 3, 3], batch_size=4, images_per_class=2)
        >>> len(sampler)
        8
        >>> sorted(sampler)
        [0, 1, 2, 3, 4, 5, 6, 7]

    Reference:
        The paper (arXiv 2102.05644) does not say how batches are drawn. K = 4 is the value in the code of the
        cross-batch memory (Wang et al. 2020, arXiv 1912.06798).
    """

    def __init__(
        self,
        labels: Sequence[int] | np.ndarray | torch.Tensor,
        batch_size: int,
        images_per_class: int = 4,
        seed: int = 0,
    ) -> None:
        if images_per_class < 2:
            raise ValueError(
                f"images_per_class must be at least 2, because a class of one image has no positive pair; got "
                f"{images_per_class}"
            )
        if batch_size < 1 or batch_size % images_per_class:
            raise ValueError(
                f"batch_size must be a multiple of images_per_class ({images_per_class}); got {batch_size}"
            )
        order = np.argsort(np.asarray(labels), kind="stable")  # (N,)
        _, starts = np.unique(np.asarray(labels)[order], return_index=True)
        members = np.split(order, starts[1:])
        self.members = [indices for indices in members if len(indices) > 1]
        self.num_singletons = len(members) - len(self.members)
        super().__init__(batch_size, seed)
        self.images_per_class = images_per_class
        capacity = sum(min(images_per_class, len(indices)) for indices in self.members)
        if capacity < batch_size:
            raise ValueError(
                f"a batch of {batch_size} images needs {batch_size // images_per_class} classes with "
                f"{images_per_class} images each (or more classes with fewer images); the training set has "
                f"{len(self.members)} classes of two or more images, which give {capacity} images. Lower the batch "
                f"size to at most {capacity - capacity % images_per_class}, or raise images_per_class"
            )
        if self.num_singletons:
            logger.warning(
                "%d classes have a single image, which has no positive pair: they are left out of training",
                self.num_singletons,
            )
        group_counts = [-(-len(indices) // images_per_class) for indices in self.members]
        slots = sum(count * min(images_per_class, len(indices)) for count, indices in zip(group_counts, self.members))
        self.num_batches = max(-(-slots // batch_size), max(group_counts))

    def __len__(self) -> int:
        """Return the number of indices in an epoch: a multiple of `batch_size`, the same in every epoch."""
        return self.num_batches * self.batch_size

    def __iter__(self) -> Iterator[int]:
        """Yield the indices of one epoch."""
        rng = np.random.default_rng([self.seed, self.epoch])
        batches: list[list[np.ndarray]] = [[] for _ in range(self.num_batches)]
        classes: list[set[int]] = [set() for _ in range(self.num_batches)]
        # (images so far, tie-break, batch): the least full batch comes first, and equally full ones in random order.
        heap = [(0, tie, batch) for batch, tie in enumerate(rng.permutation(self.num_batches).tolist())]
        heapq.heapify(heap)
        for class_id in self._large_classes_first(rng):
            pending = self._groups(class_id, rng)
            taken = []
            while pending and heap:
                fill, tie, batch = heapq.heappop(heap)
                group = pending.pop()
                piece, rest = group[: self.batch_size - fill], group[self.batch_size - fill :]
                if len(rest):
                    pending.append(rest)
                batches[batch].append(piece)
                classes[batch].add(class_id)
                if fill + len(piece) < self.batch_size:
                    taken.append((fill + len(piece), tie, batch))
            for entry in taken:
                heapq.heappush(heap, entry)
        for fill, _, batch in heap:
            batches[batch].extend(self._filling(self.batch_size - fill, classes[batch], rng))
        for batch in rng.permutation(self.num_batches):
            groups = batches[batch]
            for position in rng.permutation(len(groups)):
                yield from groups[position].tolist()

    def _large_classes_first(self, rng: np.random.Generator) -> list[int]:
        """Order the classes by descending number of groups, at random among equals."""
        sizes = np.array([-(-len(indices) // self.images_per_class) for indices in self.members])
        order: list[int] = np.lexsort((rng.permutation(len(sizes)), -sizes)).tolist()
        return order

    def _groups(self, class_id: int, rng: np.random.Generator) -> list[np.ndarray]:
        """Cut a shuffled class into groups of K, and fill the last group up with images of the groups before it."""
        indices = rng.permutation(self.members[class_id])
        size = min(self.images_per_class, len(indices))
        groups = [indices[start : start + size] for start in range(0, len(indices), size)]
        missing = size - len(groups[-1])
        if missing:
            groups[-1] = np.concatenate([groups[-1], rng.choice(indices[: -len(groups[-1])], missing, replace=False)])
        return groups

    def _filling(self, missing: int, present: set[int], rng: np.random.Generator) -> list[np.ndarray]:
        """Draw groups of classes that a batch does not hold yet, to fill it up by `missing` images."""
        groups = []
        for class_id in rng.permutation(len(self.members)).tolist():
            if missing == 0:
                break
            if class_id in present:
                continue
            size = min(self.images_per_class, len(self.members[class_id]), missing)
            groups.append(rng.choice(self.members[class_id], size, replace=False))
            missing -= size
        return groups
