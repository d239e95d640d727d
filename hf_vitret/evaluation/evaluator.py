"""`RetrievalEvaluator`: embeds a data set with a model, searches it exactly and computes the metrics."""

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

    With a query set alone, each of its images is a query and searches all the others (leave-one-out, as on Stanford
    Online Products and CUB). With a gallery, each query searches the images of the gallery, except those with its own
    `image_id` (as on In-Shop).

    Args:
        query: Data set with the columns `image`, `label` and `image_id`; or a mapping with the entries `query` and
            `gallery`, or `test`, such as a `DatasetDict` from `load_retrieval_dataset`.
        gallery: Data set to search, with the same columns. `None` searches the query set.
        ks: The cut-offs k of R@k and of the other metrics at k, each at least 1.
        batch_size: Number of images embedded at once.
        num_workers: Number of processes that decode images; 0 decodes in this process.
        dtype: `torch.bfloat16` or `torch.float16` embeds under autocast. `None` embeds in the type of the weights.
        metrics: Names of metrics. `recall_at_k`, `precision_at_k` and `map_at_k` are computed at each cut-off;
            `map_at_r`, `r_precision`, `map` (mean average precision over the whole list) and `mrr` (mean reciprocal
            rank) once.
        ties: The rule for items whose scores differ by at most 2e-6. `"pessimistic"`: an image of another class that
            ties with one of the query's class ranks ahead of it. `"expected"`: a value is its mean over all orders of
            the images that tie.
        memory_budget: Bytes that the scores held at once may take, at least 512. `None` takes what suits the device: 8
            MiB on a CPU, 512 MiB on CUDA.

    Attributes:
        query: The query set.
        gallery: The gallery; `None` if the query set is searched.
        choice: The metrics, their cut-offs and the rule for ties.
        batch_size: Number of images embedded at once.
        num_workers: Number of processes that decode images.
        dtype: The autocast type, or `None`.
        memory_budget: Bytes that the scores held at once may take, or `None`.

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
                raise ValueError(
                    f"expected the splits test, or query and gallery; got {', '.join(query)}. Pass the data sets "
                    "themselves if their splits have other names"
                )
        for dataset in (query, gallery):
            missing = [] if dataset is None else [name for name in COLUMNS if name not in dataset.column_names]
            if dataset is not None and missing:
                raise ValueError(
                    f"expected the columns {', '.join(COLUMNS)}; got {', '.join(dataset.column_names)}. "
                    "load_retrieval_dataset returns data sets with these columns"
                )
        self.query = query
        self.gallery = gallery
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.dtype = dtype
        self.choice = MetricChoice(metrics, ks, ties)
        self.memory_budget = memory_budget

    def __call__(self, model: nn.Module) -> dict[str, float | int]:
        """Embed the data set with a model and compute the metrics.

        Args:
            model: A `ViTRetModel`, also one loaded with `trust_remote_code`.

        Returns:
            The metrics by name, means over the queries in [0, 1], and the counts `num_queries` and
            `num_queries_without_positive`, as `retrieval_metrics` returns them.
        """
        query_embeddings = self.embed(model, self.query)
        gallery_embeddings = None if self.gallery is None else self.embed(model, self.gallery)
        return self.score(query_embeddings, gallery_embeddings)

    def embed(self, model: nn.Module, dataset: "Dataset", *, progress: bool = True) -> torch.Tensor:
        """Embed one data set.

        Args:
            model: A `ViTRetModel`, also one loaded with `trust_remote_code`.
            dataset: The data set, with a column `image`.
            progress: Whether to show a progress bar.

        Returns:
            `(num_images, dim)` float32 on the CPU, unit L2 norm, in the order of the data set.
        """
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
        """Compute the metrics of embeddings of the data set.

        Args:
            query_embeddings: `(num_queries, dim)` float, in the order of the query set.
            gallery_embeddings: `(num_gallery, dim)` float, in the order of the gallery; required if there is a gallery.

        Returns:
            The metrics by name, means over the queries in [0, 1], and the counts `num_queries` and
            `num_queries_without_positive`, as `retrieval_metrics` returns them.

        Raises:
            ValueError: Embeddings of a gallery are missing or not expected, numbers of rows do not match the data set,
                or an embedding is NaN or infinite.
        """
        return self.search_protocol.metrics(query_embeddings, gallery_embeddings, **self._score_settings)

    def query_metrics(
        self, query_embeddings: torch.Tensor, gallery_embeddings: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Compute the metrics of each query.

        Args:
            query_embeddings: `(num_queries, dim)` float, in the order of the query set.
            gallery_embeddings: `(num_gallery, dim)` float, in the order of the gallery; required if there is a gallery.

        Returns:
            For each metric, `(num_queries,)` float64 on the device of the queries; nan for a query without a positive.

        Raises:
            ValueError: Embeddings of a gallery are missing or not expected, numbers of rows do not match the data set,
                or an embedding is NaN or infinite.
        """
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
        """The labels and ids of the data set as a `RetrievalProtocol`, which scores embeddings."""
        if self.gallery is None:
            return RetrievalProtocol(self.query_labels)
        return RetrievalProtocol(self.query_labels, self.gallery_labels, *self.shared_ids)

    def protocol(self, model: nn.Module) -> dict[str, Any]:
        """Describe how a model is evaluated here: what another score must have in common to be comparable.

        Args:
            model: A `ViTRetModel`, also one loaded with `trust_remote_code`.

        Returns:
            JSON values by name: those of `RetrievalProtocol.describe`; `queries_without_positive` (how they are
            treated), `ks`, `metrics`, `ties`, `tie_tolerance` (the largest difference of scores that tie) and `score`;
            and for the model `image_size` and `resize_size` in pixels, `resize_mode`, `pooling`, `embedding_dim` and
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
        """Find the nearest images of some queries, without the query's own image.

        Args:
            rows: `(num_rows,)` int64, rows of the query set.
            k: Number of neighbours, at least 1.
            query_embeddings: `(num_queries, dim)` float, of the whole query set.
            gallery_embeddings: `(num_gallery, dim)` float, of the whole gallery; required if there is a gallery.

        Returns:
            `(num_rows, k)` int64, rows of the gallery (of the query set without a gallery), nearest first; -1 where
            there are fewer images.
        """
        query_ids, gallery_ids = self.shared_ids
        gallery = query_embeddings if gallery_embeddings is None else gallery_embeddings
        return nearest_neighbors(
            query_embeddings[rows], gallery, k, query_ids=query_ids[rows], gallery_ids=gallery_ids
        )[1]

    @cached_property
    def query_labels(self) -> torch.Tensor:
        """The label of each query, `(num_queries,)` int64."""
        return torch.tensor(column_values(self.query, "label"))

    @cached_property
    def gallery_labels(self) -> torch.Tensor:
        """The label of each gallery image, `(num_gallery,)` int64; those of the query set if there is no gallery."""
        return self.query_labels if self.gallery is None else torch.tensor(column_values(self.gallery, "label"))

    @cached_property
    def shared_ids(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The `image_id`s of queries and gallery as integers, equal if the strings are equal."""
        query_names = column_values(self.query, "image_id")
        gallery_names = query_names if self.gallery is None else column_values(self.gallery, "image_id")
        numbers = {name: number for number, name in enumerate(dict.fromkeys([*query_names, *gallery_names]))}
        query_ids = torch.tensor([numbers[name] for name in query_names])  # (Q,)
        return query_ids, torch.tensor([numbers[name] for name in gallery_names])  # (N,)


class ScoresQueries(Protocol):
    """An object that scores each query: a `RetrievalEvaluator`, or a search with a post-processing step."""

    def query_metrics(
        self, query_embeddings: torch.Tensor, gallery_embeddings: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Return for each metric `(num_queries,)` float64, nan for a query without a positive."""


def score_queries(
    search: ScoresQueries, query_embeddings: torch.Tensor, gallery_embeddings: torch.Tensor | None, device: torch.device
) -> dict[str, torch.Tensor]:
    """Compute the metrics of each query, on the device of the model if that is CUDA, else on the CPU.

    Args:
        search: The data set with its metrics, and the post-processing step if there is one.
        query_embeddings: `(num_queries, dim)` float.
        gallery_embeddings: `(num_gallery, dim)` float, or `None` without a gallery.
        device: The device of the model. Other devices than CUDA and the CPU are not used, because some have no float64.

    Returns:
        For each metric, `(num_queries,)` float64 on the CPU; nan for a query without a positive.
    """
    scoring_device = exact_device(device)
    gallery = None if gallery_embeddings is None else gallery_embeddings.to(scoring_device)
    values = search.query_metrics(query_embeddings.to(scoring_device), gallery)
    return {name: scores.cpu() for name, scores in values.items()}
