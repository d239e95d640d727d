"""Score a model on a data set: embed it, search it exactly, and apply the metrics."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import nn

from ..data.schema import COLUMNS, column_values
from ..inference.embed import embed_images
from ..search.neighbors import nearest_neighbors
from .metrics.metric_choice import DEFAULT_KS as DEFAULT_KS
from .metrics.metric_choice import DEFAULT_METRICS, MetricChoice
from .protocols import RetrievalProtocol
from .ranking.exact_scores import exact_device
from .ranking.wanted_ranks import TIE_TOLERANCE

if TYPE_CHECKING:
    from datasets import Dataset


class RetrievalEvaluator:
    """Evaluate retrieval models on one data set.

    With a query set alone, each of its images queries all the others (leave-one-out, as on Stanford Online Products
    and CUB). With a gallery, each query image is sought among the gallery's, except the one of its own `image_id`
    (In-Shop).

    Args:
        query: Data set with the columns `image`, `label`, `image_id`; or a mapping with the entries `query` and
            `gallery`, or `test`, such as a `DatasetDict` of this package.
        gallery: Data set to search; `None` searches the query set.
        ks: Ranks K of the reported R@K, and of the other metrics at k.
        batch_size: Images embedded at once.
        num_workers: Processes that decode images.
        dtype: `torch.bfloat16` or `torch.float16` embeds under autocast.
        metrics: Names of metrics; see `retrieval_metrics`.
        ties: What items that score alike are worth: `"pessimistic"` or `"expected"`.
        memory_budget: Bytes that scores held at once may take; see `retrieval_metrics`.

    Attributes:
        choice: The metrics, cut-offs and rule for ties.
        memory_budget: As given.

    Raises:
        ValueError: A column is missing, a mapping has neither `test` nor `query` and `gallery`, or a metric, a cut-off
            or the rule for ties is unknown.
    """

    def __init__(
        self,
        query: "Dataset | Mapping[str, Dataset]",
        gallery: "Dataset | None" = None,
        *,
        ks: Sequence[int] = DEFAULT_KS,
        batch_size: int = 64,
        num_workers: int = 0,
        dtype: torch.dtype | None = None,
        metrics: Sequence[str] = DEFAULT_METRICS,
        ties: str = "pessimistic",
        memory_budget: int | None = None,
    ) -> None:
        if isinstance(query, Mapping):
            if "query" in query and "gallery" in query:
                query, gallery = query["query"], query["gallery"]
            elif "test" in query:
                query = query["test"]
            else:
                raise ValueError(f"expected the splits test, or query and gallery; got {', '.join(query)}")
        for dataset in (query, gallery):
            missing = [] if dataset is None else [name for name in COLUMNS if name not in dataset.column_names]
            if dataset is not None and missing:
                raise ValueError(
                    f"expected the columns {', '.join(COLUMNS)}; got {', '.join(dataset.column_names)}. "
                    "load_retrieval_dataset gives them"
                )
        self.query = query
        self.gallery = gallery
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.dtype = dtype
        self.choice = MetricChoice(metrics, ks, ties)
        self.memory_budget = memory_budget

    def __call__(self, model: nn.Module) -> dict[str, float | int]:
        """Embed with the model and score; see `retrieval_metrics` for what comes back."""
        query_embeddings = self.embed(model, self.query)
        gallery_embeddings = None if self.gallery is None else self.embed(model, self.gallery)
        return self.score(query_embeddings, gallery_embeddings)

    def embed(self, model: nn.Module, dataset: "Dataset", *, progress: bool = True) -> torch.Tensor:
        """Embed one data set, `(N, dim)` float32, with a bar or without."""
        return embed_images(
            model,
            dataset,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            dtype=self.dtype,
            progress=progress,
        )

    def score(
        self, query_embeddings: torch.Tensor, gallery_embeddings: torch.Tensor | None = None
    ) -> dict[str, float | int]:
        """Score embeddings of the query set, `(Q, dim)`, and of the gallery, `(N, dim)`, where there is one."""
        return self.search_protocol.metrics(query_embeddings, gallery_embeddings, **self._score_settings)

    def query_metrics(
        self, query_embeddings: torch.Tensor, gallery_embeddings: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Score each query by itself, `(Q,)` float64 for each metric; see `hf_vitret.query_metrics`."""
        return self.search_protocol.query_metrics(query_embeddings, gallery_embeddings, **self._score_settings)

    @property
    def _score_settings(self) -> dict[str, Any]:
        choice = self.choice
        return {
            "ks": choice.ks,
            "metrics": choice.metrics,
            "ties": choice.ties,
            "memory_budget": self.memory_budget,
        }

    @cached_property
    def search_protocol(self) -> RetrievalProtocol:
        """Who is sought among whom, for embeddings of this data set."""
        if self.gallery is None:
            return RetrievalProtocol(self.query_labels)
        return RetrievalProtocol(self.query_labels, self.gallery_labels, *self.shared_ids)

    def protocol(self, model: nn.Module) -> dict[str, Any]:
        """Describe how a model is evaluated here: what a score must carry to be compared with another.

        Args:
            model: A `ViTRetModel`, also one loaded with `trust_remote_code`.

        Returns:
            JSON values by name: those of `RetrievalProtocol.describe`; `queries_without_positive` (what becomes of
            them; the results count them), `ks`, `metrics`, `ties`, `tie_tolerance` (difference of scores), `score`;
            and of the model `image_size`, `resize_size` (pixels), `resize_mode`, `pooling`, `embedding_dim` and
            `dtype` (of its arithmetic).
        """
        config: Any = model.config
        dtype = next(model.parameters()).dtype if self.dtype is None else self.dtype
        return {
            **self.search_protocol.describe(),
            "queries_without_positive": "left out of the means",
            "ks": list(self.choice.ks),
            "metrics": list(self.choice.metrics),
            "ties": self.choice.ties,
            "tie_tolerance": TIE_TOLERANCE,
            "score": "cosine similarity",
            "image_size": config.image_size,
            "resize_size": config.resize_size,
            "resize_mode": config.resize_mode,
            "pooling": config.pooling,
            "embedding_dim": config.output_dim,
            "dtype": str(dtype).removeprefix("torch."),
        }

    def neighbors(
        self, rows: torch.Tensor, k: int, query_embeddings: torch.Tensor, gallery_embeddings: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Find the nearest images of some queries, each query's own image left out.

        Args:
            rows: `(num_rows,)` int64 rows of the query set.
            k: How many neighbours, at least 1.
            query_embeddings: `(Q, dim)` float.
            gallery_embeddings: `(N, dim)` float, where there is a gallery.

        Returns:
            `(num_rows, k)` int64 rows of the gallery, best first; -1 where it holds fewer images.
        """
        query_ids, gallery_ids = self.shared_ids
        gallery = query_embeddings if gallery_embeddings is None else gallery_embeddings
        return nearest_neighbors(
            query_embeddings[rows], gallery, k, query_ids=query_ids[rows], gallery_ids=gallery_ids
        )[1]

    @cached_property
    def query_labels(self) -> torch.Tensor:
        """Label of each query, `(Q,)` int64."""
        return torch.tensor(column_values(self.query, "label"))

    @cached_property
    def gallery_labels(self) -> torch.Tensor:
        """Label of each gallery image, `(N,)` int64: the query set's own where there is no gallery."""
        return self.query_labels if self.gallery is None else torch.tensor(column_values(self.gallery, "label"))

    @cached_property
    def shared_ids(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The `image_id`s of queries and gallery as integers, equal where the strings are equal."""
        query_names = column_values(self.query, "image_id")
        gallery_names = query_names if self.gallery is None else column_values(self.gallery, "image_id")
        numbers = {name: number for number, name in enumerate(dict.fromkeys([*query_names, *gallery_names]))}
        query_ids = torch.tensor([numbers[name] for name in query_names])  # (Q,)
        return query_ids, torch.tensor([numbers[name] for name in gallery_names])  # (N,)


class ScoresQueries(Protocol):
    """What scores each query by itself: a `RetrievalEvaluator`, or a search with a step after embedding."""

    def query_metrics(
        self, query_embeddings: torch.Tensor, gallery_embeddings: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Return `(Q,)` float64 for each metric, nan for a query without a positive."""


def score_queries(
    search: ScoresQueries, query_embeddings: torch.Tensor, gallery_embeddings: torch.Tensor | None, device: torch.device
) -> dict[str, torch.Tensor]:
    """Score each query by itself, on the GPU where the model has one.

    Args:
        search: The data set and the metrics, and what is done after embedding, if anything.
        query_embeddings: `(Q, dim)` float.
        gallery_embeddings: `(N, dim)` float, where there is a gallery.
        device: Of the model. What is neither a GPU of CUDA nor a CPU lends no float64, and is not used.

    Returns:
        For each metric `(Q,)` float64 on the CPU, nan for a query without a positive.
    """
    place = exact_device(device)
    gallery = None if gallery_embeddings is None else gallery_embeddings.to(place)
    values = search.query_metrics(query_embeddings.to(place), gallery)
    return {name: scores.cpu() for name, scores in values.items()}
