"""How much of the exact answer an index finds, and how fast: measured on queries that it was not built for."""

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
# Exact neighbours kept beyond the tenth, so that images tied with it are known.
_TIES = 20
_SAME_SCORE = 1e-6  # what float32 rounds away
_TIMED = 200  # queries, one at a time
_ONE_SIDED = 1.645  # standard errors below a mean that it is above in 95 of 100 samples


@dataclass(frozen=True)
class IndexQuality:
    """What was measured after an index was built.

    Attributes:
        recall_at_10: Share of the ten exact neighbours that a search finds, over the queries; nan where there is
            none to find.
        num_queries: Held-out queries: images that no cell or code was learned from, and that no setting was chosen on.
            A query is left out of its own answer.
        latency_ms: Median of a search of ten for one query, in milliseconds, on this machine.
        bytes_per_vector: Of the index, ids and metadata apart.
        settings: Of the search: chosen on other queries.
    """

    recall_at_10: float
    num_queries: int
    latency_ms: float
    bytes_per_vector: float
    settings: Mapping[str, float]

    def text(self) -> str:
        """Say it in one line."""
        settings = ", ".join(f"{name} {value:g}" for name, value in self.settings.items())
        return (
            f"recall@10 {self.recall_at_10:.4f} on {self.num_queries:,} held-out queries, {self.latency_ms:.3f} ms a "
            f"query, {self.bytes_per_vector:,.1f} bytes a vector" + (f" ({settings})" if settings else "")
        )


class HeldOutQueries:
    """Queries drawn from the images of an index, and their exact neighbours, found while the index is filled.

    Args:
        embeddings: `(num_queries, dim)` float32.
        positions: `(num_queries,)` int64, where the index has them.
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
        scores, places = nearest_neighbors(
            torch.from_numpy(self.embeddings),
            torch.from_numpy(embeddings),
            K + _TIES,
            query_ids=torch.from_numpy(self.positions),
            gallery_ids=rows,
        )
        places = torch.where(places >= 0, places + first_position, places)
        self._found = merge_neighbors([self._found, (scores, places)], K + _TIES)

    def recall(self, backend: VectorBackend, which: slice) -> np.ndarray:
        """Return for each of some queries the share of its ten exact neighbours that a search finds.

        Of images tied with the tenth any will do. A query without a neighbour is left out.
        """
        exact_scores, exact = (each[which].numpy() for each in self._found)
        queries, own = self.embeddings[which], self.positions[which]
        found = backend.search(queries, K + 1)[1]  # one more: the query itself may be among them
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
    """Search as fast as the target allows; return the settings.

    The first settings of the ladder are taken whose mean recall less its sampling error reaches the target: by the
    mean alone every second index would miss it on other queries.
    """
    ladder = backend.ladder()
    for settings in ladder:
        backend.set_effort(settings)
        shares = queries.recall(backend, which)
        if not len(shares):
            break
        error = float(shares.std()) / math.sqrt(len(shares))
        if float(shares.mean()) - _ONE_SIDED * error >= target_recall:
            return settings
    return ladder[-1] if ladder else {}


def measure(backend: VectorBackend, queries: HeldOutQueries, which: slice, settings: dict[str, float]) -> IndexQuality:
    """Measure an index on some of the queries."""
    shares = queries.recall(backend, which)
    return IndexQuality(
        recall_at_10=float(shares.mean()) if len(shares) else math.nan,
        num_queries=len(shares),
        latency_ms=_median_latency(backend, queries.embeddings[which][:_TIMED]),
        bytes_per_vector=backend.num_bytes() / max(1, backend.num_vectors),
        settings=settings,
    )


def quality_of_json(content: Mapping[str, Any]) -> IndexQuality:
    """Read what an index says of itself, where nan is null."""
    return IndexQuality(
        recall_at_10=_number(content["recall_at_10"]),
        num_queries=int(content["num_queries"]),
        latency_ms=_number(content["latency_ms"]),
        bytes_per_vector=_number(content["bytes_per_vector"]),
        settings=dict(content["settings"]),
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
