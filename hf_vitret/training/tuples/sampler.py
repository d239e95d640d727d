"""The sampler of tuples: in each epoch it draws pairs and a pool, and yields the rows of the mined tuples."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from ..batches.sampler import EpochSampler
from .hardest_negatives import check_clusters


class EpochDraw(NamedTuple):
    """The pairs and the pool of an epoch, from which its tuples are mined.

    Attributes:
        pairs: `(num_tuples, 2)` int64 rows of the data set, anchor and positive.
        pool: `(pool_size,)` int64 rows of the data set, the candidates for negatives.
    """

    pairs: np.ndarray
    pool: np.ndarray


class TupleSampler(EpochSampler):
    """Draw the pairs of an epoch and the pool to mine negatives from, and yield the rows of the mined tuples.

    The draw depends on seed and epoch alone. Pairs and pool are drawn without replacement, and all of them are taken if
    there are fewer than requested. Pairs that would make an incomplete last step are left out of the epoch.

    The sampler yields rows, tuple after tuple, and does not depend on the rank. `batch_size` is the size of the batch
    of all processes together, and accelerate gives consecutive whole tuples of it to each process.

    Args:
        pairs: `(num_pairs, 2)` integers, the rows of anchor and positive.
        clusters: `(N,)` integers, the cluster of each row of the data set: images of one object share one.
        batch_size: Number of images in a step of all processes, a multiple of `2 + num_negatives`.
        num_negatives: Number of negatives in a tuple.
        pairs_per_epoch: Number of pairs to draw in an epoch.
        pool_size: Number of candidates for negatives to draw in an epoch.
        seed: Seed of the draws, together with the epoch.

    Attributes:
        tuples: `(num_tuples, 2 + num_negatives)` int64, the rows of the tuples mined last; empty before the first.
        mined_epoch: The epoch of these tuples; -1 before the first.

    Raises:
        ValueError: A pair is not of two different images of one cluster, there are fewer pairs than a step takes, or
            there are too few clusters to mine from.

    Example:
        >>> pairs, clusters = np.array([[0, 1], [2, 3]]), np.array([0, 0, 1, 1])
        >>> sampler = TupleSampler(pairs, clusters, 3, num_negatives=1, pairs_per_epoch=1, pool_size=4)
        >>> sampler.draw(epoch=0).pairs
        array([[0, 1]])
        >>> sampler.use(np.array([[0, 1, 3]]), epoch=0)
        >>> list(sampler)
        [0, 1, 3]
    """

    def __init__(
        self,
        pairs: np.ndarray,
        clusters: np.ndarray,
        batch_size: int,
        num_negatives: int = 5,
        pairs_per_epoch: int = 2_000,
        pool_size: int = 22_000,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, seed)
        self.pairs, self.clusters = np.asarray(pairs, dtype=np.int64), np.asarray(clusters)
        self.num_negatives = num_negatives
        self.pool_size = min(pool_size, len(self.clusters))
        size = 2 + num_negatives
        if batch_size < 1 or batch_size % size:
            raise ValueError(f"batch_size must be a multiple of {size}, the images in a tuple; got {batch_size}")
        self._check_pairs()
        tuples_per_step, available = batch_size // size, min(pairs_per_epoch, len(self.pairs))
        self.num_tuples = available - available % tuples_per_step
        if self.num_tuples == 0:
            raise ValueError(
                f"expected at least the {tuples_per_step} pairs of one step in an epoch; got {available} "
                f"({len(self.pairs)} pairs, pairs_per_epoch {pairs_per_epoch}). Lower the batch size, or raise "
                "pairs_per_epoch"
            )
        self.tuples = np.empty((0, size), dtype=np.int64)
        self.mined_epoch = -1
        self.draw(0)

    def __len__(self) -> int:
        """Return the number of rows in an epoch: a multiple of `batch_size`, the same in every epoch."""
        return self.num_tuples * (2 + self.num_negatives)

    def draw(self, epoch: int) -> EpochDraw:
        """Draw the pairs and the pool of an epoch.

        Args:
            epoch: The epoch, counted from 0.

        Returns:
            The pairs and the pool, as rows of the data set.

        Raises:
            ValueError: The pool has too few clusters for the negatives of an anchor.
        """
        rng = np.random.default_rng([self.seed, epoch])
        pairs = self.pairs[rng.permutation(len(self.pairs))[: self.num_tuples]]  # (num_tuples, 2)
        pool = rng.permutation(len(self.clusters))[: self.pool_size]  # (pool_size,)
        anchors, candidates = torch.from_numpy(self.clusters[pairs[:, 0]]), torch.from_numpy(self.clusters[pool])
        check_clusters(anchors, candidates, self.num_negatives)
        return EpochDraw(pairs, pool)

    def use(self, tuples: np.ndarray, epoch: int) -> None:
        """Set the tuples of an epoch, newly mined or from a checkpoint.

        Args:
            tuples: `(num_tuples, 2 + num_negatives)` int64 rows of the data set.
            epoch: The epoch of the tuples, counted from 0.

        Raises:
            ValueError: The number of tuples or their length is not that of this run.
        """
        expected = (self.num_tuples, 2 + self.num_negatives)
        if tuples.shape != expected:
            raise ValueError(
                f"expected {expected[0]} tuples of {expected[1]} rows; got {tuples.shape}, of a run with another "
                "pairs_per_epoch, num_negatives, batch size or data set. Resume with the settings of that run"
            )
        self.tuples, self.mined_epoch = tuples, epoch

    def __iter__(self) -> Iterator[int]:
        """Yield the rows of the epoch's tuples.

        Raises:
            RuntimeError: No tuples were set for this epoch.
        """
        if self.mined_epoch != self.epoch:
            raise RuntimeError(
                f"expected tuples mined for epoch {self.epoch}; got those of {self.mined_epoch}. Call use() first"
            )
        yield from self.tuples.ravel().tolist()

    def _check_pairs(self) -> None:
        if self.pairs.ndim != 2 or self.pairs.shape[1] != 2 or len(self.pairs) == 0:
            raise ValueError(
                f"expected pairs of shape (num_pairs, 2), anchor and positive, at least one; got {self.pairs.shape}. "
                "Pass a row of two for each pair"
            )
        last = len(self.clusters) - 1
        if self.pairs.min() < 0 or self.pairs.max() > last:
            raise ValueError(
                f"expected pairs of rows from 0 to {last}, those of the training set; got rows from {self.pairs.min()} "
                f"to {self.pairs.max()}. Pass the pairs of this data set and split"
            )
        anchors, positives = self.pairs.T
        wrong = (anchors == positives) | (self.clusters[anchors] != self.clusters[positives])
        if wrong.any():
            first = int(wrong.argmax())
            raise ValueError(
                f"expected pairs of two images of one cluster; {int(wrong.sum())} of {len(wrong)} are not, the first "
                f"rows {anchors[first]} and {positives[first]}. Pass the pairs of this data set and split"
            )
