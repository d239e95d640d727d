"""Batches of P classes x K images, as one stream of indices that depends on seed and epoch alone."""

import heapq
import logging
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import Sampler

logger = logging.getLogger(__name__)


class EpochSampler(Sampler[int]):
    """Rows of a training set in an order that seed and epoch decide, in runs of `batch_size`.

    Args:
        batch_size: Images in a global batch.
        seed: Seed of the order, together with the epoch.

    Attributes:
        epoch: The epoch whose order the next iteration gives.
    """

    def __init__(self, batch_size: int, seed: int) -> None:
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        """Indices in an epoch: a multiple of `batch_size`, the same in every epoch."""
        raise NotImplementedError

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next iteration gives."""
        self.epoch = epoch


class ClassBalancedSampler(EpochSampler):
    """Order a labelled data set so that each run of `batch_size` indices holds P classes x K images.

    Each epoch, every class of two or more images is cut into groups of `min(K, class size)` distinct images; a
    remainder is topped up with other images of its class. The groups of one class go to different batches, always
    to those that are least full. So in every epoch

    * every image of every class of two or more images is seen,
    * no image stands twice in a batch,
    * each batch is exactly `batch_size` long, and holds exactly P classes x K images where all classes have
      K images or more. Smaller classes give smaller groups, and their batches hold more classes.

    Classes of one image have no positive pair and are left out.

    It yields indices, not batches, and knows no rank: with `batch_size` the size of the *global* batch, accelerate
    hands consecutive parts of it to the ranks, so that the order is the same for any number of processes.

    Args:
        labels: Label of each image, `(N,)` integers.
        batch_size: Images in a global batch, P * K.
        images_per_class: K, at least 2.
        seed: Seed of the order, together with the epoch.

    Raises:
        ValueError: The batch is no multiple of K, or the data set has too few images of different classes to fill
            one batch without showing an image twice.

    Example:
        >>> sampler = ClassBalancedSampler([0, 0, 1, 1, 2, 2, 3, 3], batch_size=4, images_per_class=2)
        >>> len(sampler)
        8
        >>> sorted(sampler)
        [0, 1, 2, 3, 4, 5, 6, 7]

    Reference:
        The paper (arXiv 2102.05644) does not say how batches are drawn. K = 4 is what its memory's authors use
        (Wang et al. 2020, arXiv 1912.06798, code).
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
                f"images_per_class must be at least 2, or no batch has a positive pair; got {images_per_class}"
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
        room = sum(min(images_per_class, len(indices)) for indices in self.members)
        if room < batch_size:
            raise ValueError(
                f"a batch of {batch_size} images needs {batch_size // images_per_class} classes with "
                f"{images_per_class} images each (or more classes with fewer); the training set has "
                f"{len(self.members)} classes of two or more images, which give {room}. Lower the batch size "
                f"to at most {room - room % images_per_class}, or raise images_per_class"
            )
        if self.num_singletons:
            logger.warning(
                "%d classes have a single image: they form no positive pair and are not trained on",
                self.num_singletons,
            )
        group_counts = [-(-len(indices) // images_per_class) for indices in self.members]
        slots = sum(count * min(images_per_class, len(indices)) for count, indices in zip(group_counts, self.members))
        self.num_batches = max(-(-slots // batch_size), max(group_counts))

    def __len__(self) -> int:
        """Indices in an epoch: a multiple of `batch_size`, the same in every epoch."""
        return self.num_batches * self.batch_size

    def __iter__(self) -> Iterator[int]:
        """Yield the indices of one epoch."""
        rng = np.random.default_rng([self.seed, self.epoch])
        batches: list[list[np.ndarray]] = [[] for _ in range(self.num_batches)]
        classes: list[set[int]] = [set() for _ in range(self.num_batches)]
        # (fill, tie-break, batch): the least full batch first, ties in random order.
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
        """Cut a shuffled class into groups of K; top the last one up from the images before it."""
        indices = rng.permutation(self.members[class_id])
        size = min(self.images_per_class, len(indices))
        groups = [indices[start : start + size] for start in range(0, len(indices), size)]
        missing = size - len(groups[-1])
        if missing:
            groups[-1] = np.concatenate([groups[-1], rng.choice(indices[: -len(groups[-1])], missing, replace=False)])
        return groups

    def _filling(self, missing: int, present: set[int], rng: np.random.Generator) -> list[np.ndarray]:
        """Draw groups of classes that a batch does not hold yet, to fill its last `missing` places."""
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
