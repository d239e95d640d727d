"""Evaluation of a search after a step such as query expansion, database augmentation, re-ranking or diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from ..search.neighbors import nearest_neighbors
from ..search.reranking.diffusion import Diffusion
from ..search.reranking.query_expansion import augment_database, expand_queries
from ..search.reranking.reciprocal_reranking import rerank_reciprocal
from .evaluator import RetrievalEvaluator
from .metrics.query_values import rank_values, values_by_query
from .metrics.ranked_lists import NO_ITEM, ranks_of_lists
from .metrics.retrieval import query_metrics
from .ranking.ranked_block import PositiveRanks

# The number of neighbours and the other settings of each method, from the papers that the functions cite.
POST_PROCESSINGS: dict[str, dict[str, Any]] = {
    "query_expansion": {"num_neighbors": 50, "alpha": 3.0},
    "database_augmentation": {"num_neighbors": 50, "alpha": 3.0},
    "reciprocal": {"num_neighbors": 20, "k2": 6, "weight": 0.3},
    "diffusion": {"num_neighbors": 50, "alpha": 0.99, "gamma": 3.0},
}
_QUERIES = 256  # number of lists held at once
_MAX_PAIRS = 2**26  # number of pairs of a query and a gallery item whose labels are compared at once: 64 MiB


class PostProcessedSearch:
    """Evaluate a search with a step after embedding, which changes the vectors or the order of the lists.

    Expanded queries and an augmented gallery are scored exactly, like embeddings. Re-ranking and diffusion return
    lists, whose order is taken as given; an item that is not in the list of a query counts as not found.

    In leave-one-out evaluation, the searched images (the items of the graph, or of the averages) include the query's
    own image; the list of the query does not.

    Args:
        evaluator: The data set and the metrics.
        method: Name of the step, one of `POST_PROCESSINGS`.
        num_neighbors: Number of neighbours that are averaged (`query_expansion`, `database_augmentation`), k1 of
            `rerank_reciprocal`, or edges of an item in the graph of `Diffusion`. `None` takes the number of the paper,
            which had large classes.

    Attributes:
        evaluator: The data set and the metrics.
        method: Name of the step.
        num_neighbors: Number of neighbours.
        list_length: Number of items of a list that are re-ranked: enough for the largest cut-off and the largest class.

    Raises:
        ValueError: The method is unknown, the number of neighbours is below 1, or ties are expected but the method
            returns lists.
    """

    def __init__(self, evaluator: RetrievalEvaluator, method: str, num_neighbors: int | None = None) -> None:
        if method not in POST_PROCESSINGS:
            raise ValueError(
                f"method must be one of {', '.join(POST_PROCESSINGS)}; got {method!r}. Choose one of these."
            )
        if num_neighbors is not None and num_neighbors < 1:
            raise ValueError(
                f"num_neighbors must be at least 1; got {num_neighbors}. Pass None for the number of the paper."
            )
        self.evaluator, self.method = evaluator, method
        self._gives_lists = method in ("reciprocal", "diffusion")
        if self._gives_lists and evaluator.choice.is_expected:
            raise ValueError(
                f"ties must be pessimistic for {method}, which returns lists in one order; got expected. Build the "
                'evaluator with ties="pessimistic".'
            )
        settings: dict[str, Any] = dict(POST_PROCESSINGS[method])
        default = int(settings.pop("num_neighbors"))
        self.num_neighbors = default if num_neighbors is None else num_neighbors
        self._settings = settings
        if method == "reciprocal":
            self._settings["k2"] = min(int(settings["k2"]), self.num_neighbors)
        largest_class = int(torch.unique(evaluator.gallery_labels, return_counts=True)[1].max())
        wanted = max(*evaluator.choice.ks, largest_class, self.num_neighbors)
        self.list_length = min(wanted, len(evaluator.gallery_labels))

    def query_metrics(
        self, query_embeddings: torch.Tensor, gallery_embeddings: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Compute the metrics of each query.

        Args:
            query_embeddings: `(num_queries, dim)` float, unit norm, in the order of the query set.
            gallery_embeddings: `(num_gallery, dim)` float, unit norm, in the order of the gallery; required if there is
                a gallery.

        Returns:
            For each metric, `(num_queries,)` float64 on the device of the queries; nan for a query without a positive.
        """
        evaluator, choice = self.evaluator, self.evaluator.choice
        gallery = query_embeddings if gallery_embeddings is None else gallery_embeddings
        ids = self._ids()
        if self._gives_lists:
            blocks = self._ranks(query_embeddings, gallery, *ids)
            values = rank_values(choice, blocks)
            return values_by_query(choice.keys, values, len(query_embeddings), query_embeddings.device)
        queries = query_embeddings
        if self.method == "query_expansion":
            near = nearest_neighbors(queries, gallery, self.num_neighbors, query_ids=ids[0], gallery_ids=ids[1])
            queries = expand_queries(queries, gallery, *near, **self._settings)
        else:
            gallery = augment_database(gallery, *self._graph(gallery), **self._settings)
        return query_metrics(
            queries,
            evaluator.query_labels,
            gallery,
            evaluator.gallery_labels,
            query_ids=ids[0],
            gallery_ids=ids[1],
            ks=choice.ks,
            metrics=choice.metrics,
            ties=choice.ties,
        )

    def protocol(self, model: nn.Module) -> dict[str, Any]:
        """Describe how a model is evaluated: the protocol of the evaluator, with the step and its settings.

        Args:
            model: A `ViTRetModel`, also one loaded with `trust_remote_code`.

        Returns:
            JSON values by name: those of `RetrievalEvaluator.protocol`, `post_processing`, `num_neighbors` and the
            settings of the method; for lists `list_length` too.
        """
        step = {"post_processing": self.method, "num_neighbors": self.num_neighbors, **self._settings}
        if self._gives_lists:
            step |= {"list_length": self.list_length, "ties": "as the lists have them"}
        return self.evaluator.protocol(model) | step

    def _ids(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids that are equal for a query and its own image: the row numbers if there is no gallery."""
        if self.evaluator.gallery is not None:
            return self.evaluator.shared_ids
        rows = torch.arange(len(self.evaluator.query_labels))
        return rows, rows

    def _graph(self, gallery: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the neighbours of each searched image, without the image itself."""
        rows = torch.arange(len(gallery))
        return nearest_neighbors(gallery, gallery, self.num_neighbors, query_ids=rows, gallery_ids=rows)

    def _ranks(
        self, queries: torch.Tensor, gallery: torch.Tensor, query_ids: torch.Tensor, gallery_ids: torch.Tensor
    ) -> Iterator[PositiveRanks]:
        """Yield the ranks of the positives in the lists of the queries, a block of queries at a time."""
        graph = self._graph(gallery)
        diffusion = Diffusion(gallery, *graph, **self._settings) if self.method == "diffusion" else None
        labels, gallery_labels = self.evaluator.query_labels, self.evaluator.gallery_labels
        step = max(1, min(_QUERIES, _MAX_PAIRS // len(gallery)))
        for start in range(0, len(queries), step):
            rows = torch.arange(start, min(start + step, len(queries)))
            own = query_ids[rows].unsqueeze(1)  # (rows, 1)
            length = self.num_neighbors if diffusion else self.list_length
            near = nearest_neighbors(queries[rows], gallery, length, query_ids=query_ids[rows], gallery_ids=gallery_ids)
            if diffusion is None:
                k1 = self.num_neighbors
                found = rerank_reciprocal(queries[rows], gallery, *near, *graph, k1=k1, **self._settings)[1].cpu()
            else:  # one more, because the query's own image may be in the list
                scores, found = (each.cpu() for each in diffusion.rank(queries[rows], *near, self.list_length + 1))
                is_own = gallery_ids[found.clamp(min=0)] == own
                found = found.masked_fill(is_own | (scores <= 0), NO_ITEM)  # a score of 0: not reached
            is_positive = (labels[rows].unsqueeze(1) == gallery_labels) & (own != gallery_ids)  # (rows, num_gallery)
            positives = [row.nonzero().squeeze(1) for row in is_positive]
            relevant = pad_sequence(positives, batch_first=True, padding_value=NO_ITEM)
            ranks, num_positives = ranks_of_lists(found, relevant)
            yield PositiveRanks(rows, ranks, num_positives)
