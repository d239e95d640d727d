"""Evaluation with several processes, each of which embeds a share of the images and scores a share of the pairs."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from ...evaluation.evaluator import RetrievalEvaluator, score_queries
from ...evaluation.metrics.metric_sums import MetricSums
from ...evaluation.metrics.query_values import rank_values, sum_values, sum_values_by_query, values_by_query
from ...evaluation.ranking.positive_ranks import ProcessGroupError, positive_ranks
from ...evaluation.ranking.sharded_ranks import ShardedRanks
from ...evaluation.ranking.symmetric_ranks import ProcessGroup
from ...inference.embed import embed_images
from ...search.neighbors import merge_neighbors, nearest_neighbors
from .gathering import (
    broadcast_rows,
    gather_rows,
    max_over_ranks,
    rank_and_world,
    sum_over_ranks,
)

if TYPE_CHECKING:
    from datasets import Dataset

# Number of embedding values up to which every process holds all embeddings: 1 GiB of float32. Stanford Online Products
# has 2**24.5.
_MAX_SHARED_VALUES = 2**28


@dataclass(frozen=True)
class Shares:
    """How the images of a data set are distributed over the ranks: consecutive whole batches to each.

    The batches are those of a single process, because the last digits of an embedding depend on the other images of its
    batch.

    Attributes:
        num_images: Number of images in the data set, at least 1.
        batch_size: Number of images embedded at once.
        world: Number of ranks.
    """

    num_images: int
    batch_size: int
    world: int

    @property
    def num_batches(self) -> int:
        """Return the number of batches that each rank runs: equal on all ranks, as a sharded model needs it."""
        return -(-self.num_images // (self.batch_size * self.world))

    def bounds(self, rank: int) -> tuple[int, int]:
        """Return the index of the first image of a rank and the index after its last; they are equal if it has none.

        Example:
            >>> [Shares(10, batch_size=2, world=4).bounds(rank) for rank in range(4)]
            [(0, 4), (4, 8), (8, 10), (10, 10)]
        """
        size = self.num_batches * self.batch_size
        return min(rank * size, self.num_images), min((rank + 1) * size, self.num_images)


class ShardedEmbeddings:
    """The embeddings of an evaluation set, of which each process holds a share.

    All processes call each method together, and all get the same result: that of a single process. For the metrics,
    every process gets all embeddings and scores its share of the pairs, each pair once. If the embeddings are too many
    for that, or there is a gallery, the shares are broadcast one after another, so that a process holds its own share
    and one other. For the neighbours of a few queries, those queries and the best k of each share are exchanged.

    Args:
        evaluator: The evaluation set and its metrics.
        device: The device to score on and to exchange tensors through, such as `TrainingArguments.device`.
        query: `(num_rows, dim)` float32 on the CPU, this process's share of the queries.
        gallery: `(num_rows, dim)` float32 on the CPU, this process's share of the gallery; `None` if there is no
            gallery.

    Attributes:
        query_values: The value of each query by metric, `(num_queries,)` float64 on the CPU, nan for a query without a
            positive. Set by `metrics`; empty if no process knows all values.
    """

    def __init__(
        self,
        evaluator: RetrievalEvaluator,
        device: torch.device,
        query: torch.Tensor,
        gallery: torch.Tensor | None,
    ) -> None:
        self.evaluator, self.device = evaluator, device
        self.query, self.gallery = query, gallery
        self.query_values: dict[str, torch.Tensor] = {}
        self._rank, self._world = rank_and_world()

    def metrics(self) -> dict[str, float | int]:
        """Score the embeddings by exact search.

        Returns:
            The metrics by name, as `retrieval_metrics` returns them.

        Raises:
            ValueError: `ties` is `"expected"`, and several processes cannot hold all embeddings each.
        """
        if self._world == 1:
            self.query_values = score_queries(self.evaluator, self.query, self.gallery, self.device)
            return sum_values_by_query(self.query_values).metrics()
        if self.gallery is None and len(self.evaluator.query) * self.query.shape[1] <= _MAX_SHARED_VALUES:
            # Raised on all processes or on none, because it depends on the labels alone.
            with contextlib.suppress(ProcessGroupError):
                return self._metrics_of_all()
        return self._metrics_by_shares()

    def _metrics_of_all(self) -> dict[str, float | int]:
        """Score with all embeddings on every process, each pair of images on one of them."""
        evaluator, choice = self.evaluator, self.evaluator.choice
        embeddings = torch.cat(list(self._gallery_shards()))  # (N, dim)
        rank = functools.partial(
            positive_ranks,
            embeddings,
            evaluator.query_labels,
            process_group=ProcessGroup(self._rank, self._world, sum_over_ranks, max_over_ranks),
        )
        worst = rank(**choice.wanted_ranks)
        best = rank(every_rank=True, ties="optimistic") if choice.is_expected else None
        values = rank_values(choice, worst, best)
        placed = values_by_query(choice.keys, values, len(embeddings), embeddings.device)
        self.query_values = {name: scores.cpu() for name, scores in placed.items()}
        return sum_values_by_query(self.query_values).metrics()

    def _metrics_by_shares(self) -> dict[str, float | int]:
        """Score the queries of this process against all shares of the gallery, broadcast one after another."""
        evaluator, choice = self.evaluator, self.evaluator.choice
        if choice.is_expected:
            raise ValueError(
                f"ties must be pessimistic where {self._world} processes share a gallery; got {choice.ties!r}. "
                "Evaluate the checkpoint in one process."
            )
        if self.gallery is None:  # ids by position, so that an image does not find itself
            query_ids = gallery_ids = torch.arange(len(evaluator.query))
        else:
            query_ids, gallery_ids = evaluator.shared_ids
        own = slice(*self._shares(evaluator.query).bounds(self._rank))
        ranks = ShardedRanks(
            self.query.to(self.device),
            evaluator.query_labels[own],
            evaluator.gallery_labels,
            query_ids=query_ids[own],
            gallery_ids=gallery_ids,
            **choice.wanted_ranks,
        )
        num_rounds = int(max_over_ranks(torch.tensor(ranks.num_rounds, device=self.device)))
        blocks = ranks.blocks(self._gallery_shards, num_rounds)
        sums = sum_values(choice.keys, rank_values(choice, blocks))
        total = sum_over_ranks(sums.to_tensor().to(self.device))
        return MetricSums.from_tensor(choice.keys, total).metrics()

    def neighbors(self, rows: torch.Tensor, k: int) -> torch.Tensor:
        """Find the nearest images of some queries.

        Args:
            rows: `(num_rows,)` int64, rows of the query set, the same on every process.
            k: Number of neighbours of each query, at least 1.

        Returns:
            `(num_rows, k)` int64 on the CPU, rows of the gallery (of the query set if there is no gallery), nearest
            first; -1 where there are fewer than k other images.
        """
        evaluator = self.evaluator
        if self._world == 1:
            return evaluator.neighbors(rows, k, self.query, self.gallery)
        queries = self._query_rows(rows)
        gallery, dataset = self._searched()
        start, stop = self._shares(dataset).bounds(self._rank)
        scores = torch.full((len(rows), k), -torch.inf, device=self.device)
        indices = torch.full((len(rows), k), -1, device=self.device)
        if start < stop:
            query_ids, gallery_ids = evaluator.shared_ids
            scores, indices = nearest_neighbors(
                queries, gallery, k, query_ids=query_ids[rows], gallery_ids=gallery_ids[start:stop]
            )
            indices = torch.where(indices < 0, indices, indices + start)
        parts = zip(gather_rows(scores).chunk(self._world), gather_rows(indices).chunk(self._world))
        return merge_neighbors(list(parts), k)[1].cpu()

    def _shares(self, dataset: Dataset) -> Shares:
        return Shares(len(dataset), self.evaluator.batch_size, self._world)

    def _searched(self) -> tuple[torch.Tensor, Dataset]:
        """Return this process's share of the gallery and its data set; without a gallery, those of the queries."""
        if self.gallery is None or self.evaluator.gallery is None:
            return self.query, self.evaluator.query
        return self.gallery, self.evaluator.gallery

    def _gallery_shards(self) -> Iterator[torch.Tensor]:
        """Yield the share of each rank in turn, broadcast to all, `(num_rows, dim)` on the device."""
        gallery, dataset = self._searched()
        for source in range(self._world):
            start, stop = self._shares(dataset).bounds(source)
            if start < stop:
                if source == self._rank:
                    rows = gallery.to(self.device)
                else:
                    rows = torch.empty(stop - start, gallery.shape[1], device=self.device)
                yield broadcast_rows(rows, source)

    def _query_rows(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the embeddings of some queries on every rank, `(num_rows, dim)` on the device."""
        start, stop = self._shares(self.evaluator.query).bounds(self._rank)
        queries = self.query.new_zeros(len(rows), self.query.shape[1])
        is_own = (rows >= start) & (rows < stop)
        queries[is_own] = self.query[rows[is_own] - start]
        return sum_over_ranks(queries.to(self.device))  # the ranks without the row add zero


def embed_shares(model: nn.Module, evaluator: RetrievalEvaluator, device: torch.device) -> ShardedEmbeddings:
    """Embed an evaluation set, a share on each process.

    Every process runs the model equally often, because a forward pass of sharded weights (FSDP) needs all processes.

    Args:
        model: A `ViTRetModel`.
        evaluator: The evaluation set, with the batch size and precision to embed it with.
        device: The device to score on and to exchange tensors through.

    Returns:
        The shares of all processes, which are scored and searched together.
    """
    query = _embed_share(model, evaluator, evaluator.query)
    gallery = None if evaluator.gallery is None else _embed_share(model, evaluator, evaluator.gallery)
    return ShardedEmbeddings(evaluator, device, query, gallery)


def _embed_share(model: nn.Module, evaluator: RetrievalEvaluator, dataset: Dataset) -> torch.Tensor:
    """Embed this process's share of a data set, `(num_rows, dim)` float32 on the CPU; it may have no rows."""
    rank, world = rank_and_world()
    if world == 1:
        return evaluator.embed(model, dataset)
    shares = Shares(len(dataset), evaluator.batch_size, world)
    start, stop = shares.bounds(rank)
    embedded = []
    if start < stop:
        embedded.append(evaluator.embed(model, dataset.select(range(start, stop)), progress=rank == 0))
    num_missing = shares.num_batches - -(-(stop - start) // evaluator.batch_size)
    if num_missing:  # forward passes of one image, whose embeddings are discarded
        stand_in = dataset.select([0] * num_missing)
        no_rows = embed_images(model, stand_in, batch_size=1, dtype=evaluator.dtype, progress=False)[:0]
        embedded.append(no_rows)
    return torch.cat(embedded)
