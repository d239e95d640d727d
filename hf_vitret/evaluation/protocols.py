"""`RetrievalProtocol`: labels, ids and ignored pairs of an evaluation, which define the search and its positives."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hf_vitret.evaluation.metrics.graded import graded_metrics, graded_query_metrics
from hf_vitret.evaluation.metrics.metric_choice import DEFAULT_KS, DEFAULT_METRICS
from hf_vitret.evaluation.metrics.relevance import Pairs, SharedLabels
from hf_vitret.evaluation.metrics.retrieval import query_metrics, retrieval_metrics
from hf_vitret.evaluation.shared_docs import same_arguments
from hf_vitret.search.exact_codes import Identifiers


@dataclass(frozen=True)
class RetrievalProtocol:
    """The labels and ids of a query set and a gallery, and the pairs that do not count.

    - Leave-one-out (Stanford Online Products, CUB, iNaturalist): `labels` alone.
    - Query against gallery (In-Shop): also `gallery_labels`; with ids, an image in both sets does not find itself.
    - Leave-one-out by burst or sequence: `query_ids` without a gallery; an image does not search images with its own
      id.
    - Same camera (person and vehicle re-identification): (label, camera) as the id of each image.
    - Ignore lists (junk of landmark retrieval): `ignored`.
    - Several labels for each image: `has_several_labels`; an image with at least one shared label is a positive, and
      its grade in nDCG is the number of shared labels.

    Attributes:
        labels: `(num_queries,)` integers or strings, the class of each query; with `has_several_labels`, a collection
            of them for each query.
        gallery_labels: `(num_gallery,)`, the classes of the gallery, of the same kind. `None`: every query searches the
            other queries.
        query_ids: `(num_queries,)` integers, strings or tuples. An item with the id of the query is left out of its
            list. `None` leaves none out, except the query itself without a gallery.
        gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`; only with a gallery.
        ignored: `(num_pairs, 2)` integers: the row of a query and the row of a gallery item that is left out of its
            list.
        has_several_labels: Whether each image has a collection of labels.

    Example:
        >>> protocol = RetrievalProtocol(["mug", "mug", "mug"], query_ids=["burst 1", "burst 1", "burst 2"])
        >>> rows = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
        >>> protocol.query_metrics(rows, ks=[1], metrics=["mrr"])["mrr"]
        tensor([1., 1., 1.], dtype=torch.float64)
        >>> protocol.describe()  # doctest: +NORMALIZE_WHITESPACE
        {'search': 'leave-one-out', 'num_queries': 3, 'num_gallery': 3, 'relevance': 'same label',
         'left_out_of_lists': 'images of the same id', 'num_ignored_pairs': 0}
    """

    labels: Identifiers | Sequence[Iterable[Hashable]]
    gallery_labels: Identifiers | Sequence[Iterable[Hashable]] | None = None
    query_ids: Identifiers | None = None
    gallery_ids: Identifiers | None = None
    ignored: Pairs | None = None
    has_several_labels: bool = False

    def metrics(
        self,
        embeddings: torch.Tensor,
        gallery_embeddings: torch.Tensor | None = None,
        *,
        ks: Sequence[int] = DEFAULT_KS,
        metrics: Sequence[str] = DEFAULT_METRICS,
        ties: str = "pessimistic",
        memory_budget: int | None = None,
    ) -> dict[str, float | int]:
        """Compute retrieval metrics of embeddings, as means over the queries.

        The score of two items is the inner product of their rows as given. Two items tie if their scores differ by at
        most 2e-6 (times the norms of both rows, if these are not 1).

        Args:
            embeddings: `(num_queries, dim)` float, the embeddings of the queries, on CPU or CUDA.
            gallery_embeddings: `(num_gallery, dim)` float, the embeddings of the gallery; required if the protocol has
                `gallery_labels`, refused otherwise.
            ks: The cut-offs k of the metrics at k, each at least 1.
            metrics: Names of metrics. `recall_at_k`, `precision_at_k` and `map_at_k` are computed at each cut-off;
                `map_at_r`, `r_precision`, `map` (mean average precision over the whole list) and `mrr` (mean reciprocal
                rank) once. `ndcg_at_k` is available with `has_several_labels` or `ignored`.
            ties: `"pessimistic"`: a negative that ties with a positive ranks ahead of it. `"expected"`: a value is its
                mean over all orders of the items that tie.
            memory_budget: Bytes that the scores held at once may take. `None` takes what suits the device: 8 MiB on a
                CPU, and at most 560 MB with `has_several_labels` or `ignored`.

        Returns:
            The metrics by name, each the mean over the queries that have a positive, in [0, 1], or nan if no query has
            one; then `num_queries` and `num_queries_without_positive`.

        Raises:
            TypeError: Embeddings are not floats, or labels or ids are floats or of different kinds in queries and
                gallery.
            ValueError: Embeddings of a gallery come without its labels or the other way round, shapes do not match, an
                embedding is NaN or infinite, an ignored pair is out of range, a k is below 1, or a metric or a rule for
                ties is unknown.
        """
        sets = self._sets(embeddings, gallery_embeddings)
        settings = {"ks": ks, "metrics": metrics, "ties": ties, "memory_budget": memory_budget}
        function: Any = graded_metrics if self._is_general else retrieval_metrics
        scores: dict[str, float | int] = function(embeddings, **sets, **settings)
        return scores

    @same_arguments(metrics)
    def query_metrics(
        self,
        embeddings: torch.Tensor,
        gallery_embeddings: torch.Tensor | None = None,
        *,
        ks: Sequence[int] = DEFAULT_KS,
        metrics: Sequence[str] = DEFAULT_METRICS,
        ties: str = "pessimistic",
        memory_budget: int | None = None,
    ) -> dict[str, torch.Tensor]:
        """Compute the retrieval metrics of each query, whose means `RetrievalProtocol.metrics` returns.

        The score of two items is the inner product of their rows as given. Two items tie if their scores differ by at
        most 2e-6 (times the norms of both rows, if these are not 1).

        Returns:
            For each metric, by its name, `(num_queries,)` float64 in [0, 1], in the order of the queries and on their
            device; nan for a query without a positive.
        """
        sets = self._sets(embeddings, gallery_embeddings)
        settings = {"ks": ks, "metrics": metrics, "ties": ties, "memory_budget": memory_budget}
        function: Any = graded_query_metrics if self._is_general else query_metrics
        values: dict[str, torch.Tensor] = function(embeddings, **sets, **settings)
        return values

    def describe(self) -> dict[str, str | int]:
        """Return the protocol as JSON values: what another score must have in common to be comparable.

        Returns:
            `search`, `num_queries`, `num_gallery`, `relevance`, `left_out_of_lists` and `num_ignored_pairs`.
        """
        gallery = self.labels if self.gallery_labels is None else self.gallery_labels
        if self.query_ids is not None:
            left_out = "images of the same id"
        else:
            left_out = "the query itself" if self.gallery_labels is None else "nothing"
        return {
            "search": "leave-one-out" if self.gallery_labels is None else "query against gallery",
            "num_queries": len(self.labels),
            "num_gallery": len(gallery),
            "relevance": "shared labels" if self.has_several_labels else "same label",
            "left_out_of_lists": left_out,
            "num_ignored_pairs": 0 if self.ignored is None else len(self.ignored),
        }

    @property
    def _is_general(self) -> bool:
        return self.has_several_labels or self.ignored is not None

    def _sets(self, embeddings: torch.Tensor, gallery_embeddings: torch.Tensor | None) -> dict[str, Any]:
        """Return the arguments of the metric functions that define the query set, the gallery and the positives.

        Raises:
            ValueError: Embeddings of a gallery come without its labels, or labels without the embeddings.
        """
        if (gallery_embeddings is None) != (self.gallery_labels is None):
            has, lacks = ("labels", "embeddings") if gallery_embeddings is None else ("embeddings", "labels")
            raise ValueError(
                f"a gallery needs embeddings and labels, got its {has} without its {lacks}. Pass both or neither."
            )
        gallery, gallery_labels, gallery_ids = gallery_embeddings, self.gallery_labels, self.gallery_ids
        if gallery is None and self.query_ids is not None:
            gallery, gallery_labels, gallery_ids = embeddings, self.labels, self.query_ids
        sets = {"gallery_embeddings": gallery, "query_ids": self.query_ids, "gallery_ids": gallery_ids}
        if not self._is_general:
            return sets | {"labels": self.labels, "gallery_labels": gallery_labels}
        relevance = SharedLabels(self._collections(self.labels), self._collections(gallery_labels))
        return sets | {"relevance": relevance, "ignored": self.ignored}

    def _collections(self, labels: Any) -> Any:
        """Return the labels of each image as a collection."""
        if labels is None or self.has_several_labels:
            return labels
        return [[label] for label in (labels.tolist() if hasattr(labels, "tolist") else labels)]
