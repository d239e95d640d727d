"""Evaluation by several processes: each embeds its share of the images, and scores its share of the pairs."""

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
from ...evaluation.metrics.query_values import place_values, rank_values, sum_placed, sum_values
from ...evaluation.ranking.positive_ranks import NoTeamError, positive_ranks
from ...evaluation.ranking.sharded_ranks import ShardedRanks
from ...evaluation.ranking.symmetric_ranks import Team
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

# Values of the embeddings that every process may hold all of: 1 GiB. Stanford Online Products has 2**24.5.
_MAX_SHARED_VALUES = 2**28


@dataclass(frozen=True)
class Shares:
    """How the images of a data set are dealt to the ranks: consecutive whole batches to each.

    They are the batches of a single process: an image's embedding depends, in the last digits, on the images beside it.

    Attributes:
        num_images: Images in the data set, at least 1.
        batch_size: Images embedded at once.
        world: Ranks.
    """

    num_images: int
    batch_size: int
    world: int

    @property
    def num_batches(self) -> int:
        """The batches that each rank runs, as sharded models need it; what is too many is a stand-in."""
        return -(-self.num_images // (self.batch_size * self.world))

    def bounds(self, rank: int) -> tuple[int, int]:
        """Return the first image of a rank, and one past its last; the same where it has none.

        Example:
            >>> [Shares(10, batch_size=2, world=4).bounds(rank) for rank in range(4)]
            [(0, 4), (4, 8), (8, 10), (10, 10)]
        """
        size = self.num_batches * self.batch_size
        return min(rank * size, self.num_images), min((rank + 1) * size, self.num_images)


class ShardedEmbeddings:
    """The embeddings of an evaluation set, of which each process holds its share.

    Every method is called by all processes alike and returns the same on all of them: what one process alone finds.
    For the metrics every process gets all embeddings and scores its share of the pairs, each once; where they are too
    many for that (or there is a gallery), the shares visit every process in turn, so that it holds its own and one
    other. For the neighbours of a few queries, those queries and the best k of each share travel.

    Args:
        evaluator: The data set.
        device: Where to score, and through what tensors travel: `TrainingArguments.device`.
        query: `(num_rows, dim)` float32 on the CPU, the share of the queries.
        gallery: `(num_rows, dim)` float32 on the CPU, the share of the gallery; None where there is none.

    Attributes:
        query_values: For each metric `(num_queries,)` float64 on the CPU, nan for a query without a positive, once
            `metrics` has been called; empty where no process knows them all.
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
        """Score by exact search; see `retrieval_metrics` for what comes back.

        Raises:
            ValueError: Several processes that cannot hold all embeddings are to find expected values over ties.
        """
        if self._world == 1:
            self.query_values = score_queries(self.evaluator, self.query, self.gallery, self.device)
            return sum_placed(self.query_values).metrics()
        if self.gallery is None and len(self.evaluator.query) * self.query.shape[1] <= _MAX_SHARED_VALUES:
            with contextlib.suppress(NoTeamError):  # alike on all processes: it depends on the labels alone
                return self._metrics_of_all()
        return self._metrics_by_shares()

    def _metrics_of_all(self) -> dict[str, float | int]:
        """Score with all embeddings on every process, each pair of images by one of them."""
        evaluator, choice = self.evaluator, self.evaluator.choice
        embeddings = torch.cat(list(self._gallery_shards()))  # (N, dim)
        rank = functools.partial(
            positive_ranks,
            embeddings,
            evaluator.query_labels,
            team=Team(self._rank, self._world, sum_over_ranks, max_over_ranks),
        )
        worst = rank(**choice.wanted_ranks)
        best = rank(every_rank=True, ties="optimistic") if choice.is_expected else None
        values = rank_values(choice, worst, best)
        placed = place_values(choice.keys, values, len(embeddings), embeddings.device)
        self.query_values = {name: scores.cpu() for name, scores in placed.items()}
        return sum_placed(self.query_values).metrics()

    def _metrics_by_shares(self) -> dict[str, float | int]:
        """Score with the own queries on every process, which all the gallery's shares visit."""
        evaluator, choice = self.evaluator, self.evaluator.choice
        if choice.is_expected:
            raise ValueError(
                f"ties must be pessimistic where {self._world} processes share a gallery, got {choice.ties!r}. "
                "Evaluate the checkpoint in one process."
            )
        if self.gallery is None:  # an image does not find itself, whatever ids the images have
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
        """Find the nearest images of some queries; see `RetrievalEvaluator.neighbors`.

        Args:
            rows: `(num_rows,)` int64 rows of the query set, the same on every process.
            k: How many neighbours, at least 1.

        Returns:
            `(num_rows, k)` int64 rows of the gallery on the CPU.
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
        """Return the share of what is searched, and its data set: the queries' where there is no gallery."""
        if self.gallery is None or self.evaluator.gallery is None:
            return self.query, self.evaluator.query
        return self.gallery, self.evaluator.gallery

    def _gallery_shards(self) -> Iterator[torch.Tensor]:
        """Walk the gallery: each rank broadcasts its share in turn, `(num_rows, dim)` on the device."""
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
        """Give every rank the embeddings of some queries, `(num_rows, dim)` on the device."""
        start, stop = self._shares(self.evaluator.query).bounds(self._rank)
        queries = self.query.new_zeros(len(rows), self.query.shape[1])
        is_own = (rows >= start) & (rows < stop)
        queries[is_own] = self.query[rows[is_own] - start]
        return sum_over_ranks(queries.to(self.device))  # one rank has the row, the others add zero


def embed_shares(model: nn.Module, evaluator: RetrievalEvaluator, device: torch.device) -> ShardedEmbeddings:
    """Embed an evaluation set, each process its share; with one process, all of it.

    Every process runs the model equally often, as a model whose weights are sharded needs it (FSDP).

    Args:
        model: A `ViTRetModel`.
        evaluator: The data set, and how to embed it.
        device: Where to score, and through what tensors travel between processes.

    Returns:
        The shares, to be scored and searched together.
    """
    query = _embed_share(model, evaluator, evaluator.query)
    gallery = None if evaluator.gallery is None else _embed_share(model, evaluator, evaluator.gallery)
    return ShardedEmbeddings(evaluator, device, query, gallery)


def _embed_share(model: nn.Module, evaluator: RetrievalEvaluator, dataset: Dataset) -> torch.Tensor:
    """Embed this process's share of a data set, `(num_rows, dim)` float32 on the CPU; there may be none."""
    rank, world = rank_and_world()
    if world == 1:
        return evaluator.embed(model, dataset)
    shares = Shares(len(dataset), evaluator.batch_size, world)
    start, stop = shares.bounds(rank)
    embedded = []
    if start < stop:
        embedded.append(evaluator.embed(model, dataset.select(range(start, stop)), progress=rank == 0))
    num_missing = shares.num_batches - -(-(stop - start) // evaluator.batch_size)
    if num_missing:  # batches of one image, which is another rank's
        stand_in = dataset.select([0] * num_missing)
        nobody = embed_images(model, stand_in, batch_size=1, dtype=evaluator.dtype, progress=False)[:0]
        embedded.append(nobody)
    return torch.cat(embedded)
