"""Tuples as one stream of rows: pairs drawn anew in each epoch, with the negatives that were mined for them."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch

from ..batches.sampler import EpochSampler
from .hardest_negatives import check_clusters


class EpochDraw(NamedTuple):
    """What an epoch mines from.

    Attributes:
        pairs: `(num_tuples, 2)` int64 rows, anchor and positive.
        pool: `(pool_size,)` int64 rows, the candidates for negatives.
    """

    pairs: np.ndarray
    pool: np.ndarray


class TupleSampler(EpochSampler):
    """Draw the pairs of an epoch and the pool to mine their negatives from, and yield the mined tuples' rows.

    The draw depends on seed and epoch alone. Pairs are drawn without replacement, and so is the pool; where there are
    fewer than asked for, all are taken. Pairs that would leave the last step incomplete are left to other epochs.

    It yields rows, tuple after tuple, and knows no rank: with `batch_size` a step of all processes, accelerate hands
    consecutive whole tuples of it to each.

    Args:
        pairs: `(num_pairs, 2)` integers, the rows of anchor and positive.
        clusters: `(N,)` integers, what each row of the data set shows.
        batch_size: Images of a step, a multiple of `2 + num_negatives`.
        num_negatives: Negatives in a tuple.
        pairs_per_epoch: Pairs to draw.
        pool_size: Candidates to draw.
        seed: Seed of the draws, together with the epoch.

    Attributes:
        tuples: `(num_tuples, 2 + num_negatives)` int64 rows, the newest mined; empty before.
        mined_epoch: The epoch that they were mined for; -1 before.

    Raises:
        ValueError: A pair is no pair of different images of one cluster; there are fewer pairs than a step takes, or
            too few clusters to mine from.

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
            raise ValueError(f"batch_size must be a multiple of {size}, the images of a tuple; got {batch_size}")
        self._check_pairs()
        tuples_per_step, available = batch_size // size, min(pairs_per_epoch, len(self.pairs))
        self.num_tuples = available - available % tuples_per_step
        if self.num_tuples == 0:
            raise ValueError(
                f"an epoch needs at least the {tuples_per_step} pairs of one step; got {available} "
                f"({len(self.pairs)} pairs, pairs_per_epoch {pairs_per_epoch}). Lower the batch size"
            )
        self.tuples = np.empty((0, size), dtype=np.int64)
        self.mined_epoch = -1
        self.draw(0)

    def __len__(self) -> int:
        """Rows in an epoch: a multiple of `batch_size`, the same in every epoch."""
        return self.num_tuples * (2 + self.num_negatives)

    def draw(self, epoch: int) -> EpochDraw:
        """Draw what an epoch mines from.

        Raises:
            ValueError: The pool has too few clusters for the negatives of an anchor; enlarge it.
        """
        rng = np.random.default_rng([self.seed, epoch])
        pairs = self.pairs[rng.permutation(len(self.pairs))[: self.num_tuples]]  # (num_tuples, 2)
        pool = rng.permutation(len(self.clusters))[: self.pool_size]  # (pool_size,)
        anchors, candidates = torch.from_numpy(self.clusters[pairs[:, 0]]), torch.from_numpy(self.clusters[pool])
        check_clusters(anchors, candidates, self.num_negatives)
        return EpochDraw(pairs, pool)

    def use(self, tuples: np.ndarray, epoch: int) -> None:
        """Take the tuples of an epoch: mined, or those of a checkpoint.

        Args:
            tuples: `(num_tuples, 2 + num_negatives)` int64 rows.
            epoch: Whose they are.

        Raises:
            ValueError: They are not as many as an epoch has, or of another length.
        """
        expected = (self.num_tuples, 2 + self.num_negatives)
        if tuples.shape != expected:
            raise ValueError(
                f"expected {expected[0]} tuples of {expected[1]} rows; got {tuples.shape}: of a run with other "
                "pairs_per_epoch, num_negatives, batch size or data"
            )
        self.tuples, self.mined_epoch = tuples, epoch

    def __iter__(self) -> Iterator[int]:
        """Yield the rows of the epoch's tuples.

        Raises:
            RuntimeError: None were mined for this epoch.
        """
        if self.mined_epoch != self.epoch:
            raise RuntimeError(
                f"expected tuples mined for epoch {self.epoch}; got those of {self.mined_epoch}: call use() before"
            )
        yield from self.tuples.ravel().tolist()

    def _check_pairs(self) -> None:
        if self.pairs.ndim != 2 or self.pairs.shape[1] != 2 or len(self.pairs) == 0:
            raise ValueError(f"expected pairs of shape (num_pairs, 2), anchor and positive; got {self.pairs.shape}")
        last = len(self.clusters) - 1
        if self.pairs.min() < 0 or self.pairs.max() > last:
            raise ValueError(
                f"expected pairs of rows from 0 to {last}, those of the training set; got rows from {self.pairs.min()} "
                f"to {self.pairs.max()}: are they another split's?"
            )
        anchors, positives = self.pairs.T
        wrong = (anchors == positives) | (self.clusters[anchors] != self.clusters[positives])
        if wrong.any():
            first = int(wrong.argmax())
            raise ValueError(
                f"expected pairs of two images of one cluster; {int(wrong.sum())} of {len(wrong)} are not, the first "
                f"rows {anchors[first]} and {positives[first]}: are they another split's?"
            )
