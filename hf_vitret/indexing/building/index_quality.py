"""Tune the search of an index, and measure its recall and latency, on queries held out from its training."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...search.neighbors import merge_neighbors, nearest_neighbors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..backends.vector_backend import VectorBackend

K = 10
# Number of exact neighbours that are kept after the tenth, so that images with the same score as the tenth are known.
_TIES = 20
_SAME_SCORE = 1e-6  # rounding error of float32
_TIMED = 200  # number of queries that are timed, one at a time
_ONE_SIDED = 1.645  # standard errors of the lower end of a one-sided 95 % interval
# Names of search settings in indexes that earlier releases wrote, and their names now.
_EARLIER_NAMES = {"effort": "ef_search", "cells": "nprobe", "candidates": "k_factor"}


@dataclass(frozen=True)
class IndexQuality:
    """Recall, latency and size of an index, measured after it was built.

    Attributes:
        recall_at_10: Share of the ten exact neighbours that a search finds, as a mean over the queries; NaN if there
            are no neighbours.
        num_queries: Number of held-out queries: images from which no cell or code was learned and on which no setting
            was chosen. A query is not counted among its own neighbours.
        latency_ms: Median time of a search of ten neighbours for one query, in milliseconds, on this machine.
        bytes_per_vector: Size of the index per vector, without ids and metadata.
        settings: Search settings, by name, chosen on other queries: `ef_search` of a graph, `nprobe` and `k_factor` of
            cells with codes.
    """

    recall_at_10: float
    num_queries: int
    latency_ms: float
    bytes_per_vector: float
    settings: Mapping[str, float]

    def text(self) -> str:
        """Return the measurements as one line."""
        settings = ", ".join(f"{name} {value:g}" for name, value in self.settings.items())
        return (
            f"recall@10 {self.recall_at_10:.4f} on {self.num_queries:,} held-out queries, {self.latency_ms:.3f} ms a "
            f"query, {self.bytes_per_vector:,.1f} bytes a vector" + (f" ({settings})" if settings else "")
        )


class HeldOutQueries:
    """Queries drawn from the images of an index, and their exact neighbours, which are found while it is filled.

    Args:
        embeddings: `(num_queries, dim)` float32.
        positions: `(num_queries,)` int64, positions of the queries in the index.
    """

    def __init__(self, embeddings: np.ndarray, positions: np.ndarray) -> None:
        self.embeddings, self.positions = embeddings, positions
        none = torch.empty(len(embeddings), 0)
        self._found = none, none.long()

    def compare(self, embeddings: np.ndarray, first_position: int) -> None:
        """Compare the queries with the next vectors of the index, `(num_rows, dim)` float32."""
        if not len(self.embeddings):
            return
        rows = torch.arange(first_position, first_position + len(embeddings))
        scores, positions = nearest_neighbors(
            torch.from_numpy(self.embeddings),
            torch.from_numpy(embeddings),
            K + _TIES,
            query_ids=torch.from_numpy(self.positions),
            gallery_ids=rows,
        )
        positions = torch.where(positions >= 0, positions + first_position, positions)
        self._found = merge_neighbors([self._found, (scores, positions)], K + _TIES)

    def recall(self, backend: VectorBackend, which: slice) -> np.ndarray:
        """Return for each of some queries the share of its ten exact neighbours that a search finds.

        Images with the same score as the tenth neighbour count as much as the tenth. A query without neighbours is
        left out.
        """
        exact_scores, exact = (each[which].numpy() for each in self._found)
        queries, own = self.embeddings[which], self.positions[which]
        found = backend.search(queries, K + 1)[1]  # one more, because the query itself may be found
        shares = []
        for row, position in enumerate(own):
            wanted = min(K, int((exact[row] >= 0).sum()))
            if not wanted:
                continue
            is_right = (exact[row] >= 0) & (exact_scores[row] >= exact_scores[row, wanted - 1] - _SAME_SCORE)
            others = found[row][found[row] != position][:K]
            shares.append(min(wanted, len(np.intersect1d(others, exact[row][is_right]))) / wanted)
        return np.array(shares)


def tune(backend: VectorBackend, queries: HeldOutQueries, which: slice, target_recall: float) -> dict[str, float]:
    """Choose the fastest search settings that reach the target recall, and return them.

    These are the first candidate settings whose mean recall minus its sampling error reaches the target. By the mean
    alone, every second index would miss the target on other queries.
    """
    candidates = backend.candidate_settings()
    for settings in candidates:
        backend.use_settings(settings)
        shares = queries.recall(backend, which)
        if not len(shares):
            break
        error = float(shares.std()) / math.sqrt(len(shares))
        if float(shares.mean()) - _ONE_SIDED * error >= target_recall:
            return settings
    return candidates[-1] if candidates else {}


def measure(backend: VectorBackend, queries: HeldOutQueries, which: slice, settings: dict[str, float]) -> IndexQuality:
    """Measure recall, latency and size of an index on some of the queries."""
    shares = queries.recall(backend, which)
    return IndexQuality(
        recall_at_10=float(shares.mean()) if len(shares) else math.nan,
        num_queries=len(shares),
        latency_ms=_median_latency(backend, queries.embeddings[which][:_TIMED]),
        bytes_per_vector=backend.num_bytes() / max(1, backend.num_vectors),
        settings=settings,
    )


def quality_of_json(content: Mapping[str, Any]) -> IndexQuality:
    """Convert the measurements from JSON, in which NaN is null."""
    return IndexQuality(
        recall_at_10=_number(content["recall_at_10"]),
        num_queries=int(content["num_queries"]),
        latency_ms=_number(content["latency_ms"]),
        bytes_per_vector=_number(content["bytes_per_vector"]),
        settings={_EARLIER_NAMES.get(name, name): value for name, value in content["settings"].items()},
    )


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _median_latency(backend: VectorBackend, queries: np.ndarray) -> float:
    seconds = []
    for row in range(len(queries)):
        start = time.perf_counter()
        backend.search(queries[row : row + 1], K)
        seconds.append(time.perf_counter() - start)
    return 1_000 * float(np.median(seconds)) if seconds else math.nan
