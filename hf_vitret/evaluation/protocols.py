"""Who is sought among whom, and what counts as found: the protocol of an evaluation as data."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hf_vitret.evaluation.metrics.graded import graded_metrics, graded_query_metrics
from hf_vitret.evaluation.metrics.metric_choice import DEFAULT_KS, DEFAULT_METRICS
from hf_vitret.evaluation.metrics.relevance import Pairs, SharedLabels
from hf_vitret.evaluation.metrics.retrieval import query_metrics, retrieval_metrics
from hf_vitret.search.exact_codes import Identifiers


@dataclass(frozen=True)
class RetrievalProtocol:
    """The labels and ids of a query set and a gallery, and the pairs that do not count.

    - Leave-one-out (Stanford Online Products, CUB, iNaturalist): `labels` alone.
    - Query against gallery (In-Shop): `gallery_labels` too; with ids, an image in both sets does not find itself.
    - Leave-one-out by burst or sequence: `query_ids` without a gallery; an image finds none of its own id.
    - Same camera (person and vehicle re-identification): (label, camera) as the id of each image.
    - Ignore lists (junk of landmark retrieval): `ignored`.
    - Several labels an image: `has_several_labels`; images are right for each other from one shared label on, and in
      nDCG the more the better.

    Attributes:
        labels: `(num_queries,)` integers or strings; a collection of them for each query if there are several.
        gallery_labels: The same for the gallery. None: every query is sought among the others.
        query_ids: `(num_queries,)` integers, strings or tuples; an item with the id of the query is left out of its
            list.
        gallery_ids: The same for the gallery, where there is one.
        ignored: `(num_pairs, 2)` integers, row of the query and gallery row that is left out of its list.
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
        """Score embeddings, `(num_queries, dim)` and `(num_gallery, dim)` float; see `retrieval_metrics`.

        The metric `ndcg_at_k` is there for protocols of several labels or with an ignore list; see `graded_metrics`.
        """
        sets = self._sets(embeddings, gallery_embeddings)
        settings = {"ks": ks, "metrics": metrics, "ties": ties, "memory_budget": memory_budget}
        function: Any = graded_metrics if self._is_general else retrieval_metrics
        scores: dict[str, float | int] = function(embeddings, **sets, **settings)
        return scores

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
        """Score each query by itself, `(num_queries,)` float64 for each metric; see `query_metrics`."""
        sets = self._sets(embeddings, gallery_embeddings)
        settings = {"ks": ks, "metrics": metrics, "ties": ties, "memory_budget": memory_budget}
        function: Any = graded_query_metrics if self._is_general else query_metrics
        values: dict[str, torch.Tensor] = function(embeddings, **sets, **settings)
        return values

    def describe(self) -> dict[str, str | int]:
        """Return the protocol as JSON values: what a score must carry to be compared with another."""
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
        """Return the arguments of the metrics that say what is sought among what.

        Raises:
            ValueError: Embeddings of a gallery without its labels, or labels without the embeddings.
        """
        if (gallery_embeddings is None) != (self.gallery_labels is None):
            has, lacks = ("labels", "embeddings") if gallery_embeddings is None else ("embeddings", "labels")
            raise ValueError(f"a gallery needs embeddings and labels, got its {has} without its {lacks}.")
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
