"""`RevisitedEvaluator`: embeds queries, gallery and distractors of a revisited data set and computes the metrics."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from tqdm.auto import tqdm

from ...compression.pca import PCA
from ...compression.whitening import LearnedWhitening
from ...data.schema import column_values
from ...inference.multi_scale import embed_multi_scale, patch_side
from ...inference.projection import with_projection
from ..ranking.wanted_ranks import TIE_TOLERANCE
from ..reporting.bootstrap import bootstrap_interval
from ..reporting.report import EvaluationResult
from .metrics import DEFAULT_KS, means_of, revisited_query_metrics

if TYPE_CHECKING:
    from datasets import Dataset

    from ...data.landmarks.revisited_ground_truth import RevisitedGroundTruth

# Number of batches of distractors embedded at once. Their pixels are in memory together, 2.4 MB for an image of 1024 x
# 768.
_BATCHES = 4


class RevisitedEvaluator:
    """Evaluate retrieval models on ROxford5k, RParis6k or a data set of the same form.

    Args:
        query: Data set with the columns `image`, cropped to the object, and `image_id`, as `load_revisited` returns it;
            with `keep_scale`, also `full_size`.
        gallery: Data set to search, with the columns `image` and `image_id`.
        ground_truth: The easy, hard and junk images of each query. Its ids are those of the data sets, in their order.
        distractors: Rows with an `image`, such as a data set or a stream; none of them shows an object of a query. They
            are read once in each evaluation and embedded a few batches at a time. `None`: no distractors.
        scales: Multiples of `image_size`, each above 0. The unit vectors of several scales are averaged and normalised.
        image_size: Length in pixels of a side (`"square"`) or of the longer side (`"aspect"`). `None` takes that of the
            model.
        resize: `"square"`, as in El-Nouby et al., squeezes an image to a square; `"aspect"` keeps its shape.
        keep_scale: With `"aspect"`, resize a query so that its whole image, whose size is in its column `full_size`,
            would have the longer side `image_size`.
        projection: A `PCA` or `LearnedWhitening` to put into the model for the evaluation. `None` leaves the model as
            it is.
        dim: Number of dimensions of the projection. `None` takes all that it has.
        ks: The cut-offs k of mP@k, each at least 1.
        batch_size: Number of images embedded at once.
        num_workers: Number of processes that decode images; 0 decodes in this process.
        dtype: `torch.bfloat16` or `torch.float16` embeds under autocast. `None` embeds in the type of the weights.

    Raises:
        ValueError: The data sets do not have the images of the ground truth in its order, or `dim` is given without a
            projection.

    Reference:
        Radenovic et al., "Revisiting Oxford and Paris", arXiv 1803.11285. Squares: El-Nouby et al., arXiv 2102.05644,
        section 4.1.
    """

    def __init__(
        self,
        query: "Dataset",
        gallery: "Dataset",
        ground_truth: "RevisitedGroundTruth",
        *,
        distractors: Iterable[Any] | None = None,
        scales: Sequence[float] = (1.0,),
        image_size: int | None = None,
        resize: str = "square",
        keep_scale: bool = False,
        projection: PCA | LearnedWhitening | None = None,
        dim: int | None = None,
        ks: Sequence[int] = DEFAULT_KS,
        batch_size: int = 64,
        num_workers: int = 0,
        dtype: torch.dtype | None = None,
    ) -> None:
        for name, dataset, ids in (
            ("query", query, ground_truth.query_ids),
            ("gallery", gallery, ground_truth.gallery_ids),
        ):
            found = column_values(dataset, "image_id")
            if found != list(ids):
                first = next((row for row, pair in enumerate(zip(found, ids)) if pair[0] != pair[1]), None)
                raise ValueError(
                    f"{name} must have the {len(ids)} images of the ground truth, in its order; got {len(found)}, of "
                    f"which the first that differs is in row {first}. Pass the data sets that load_revisited returns"
                )
        if dim is not None and projection is None:
            raise ValueError(
                f"dim must come with a projection, a PCA or LearnedWhitening; got dim {dim} alone. Pass the projection"
            )
        self.query, self.gallery, self.ground_truth, self.distractors = query, gallery, ground_truth, distractors
        self.scales, self.image_size, self.resize, self.keep_scale = tuple(scales), image_size, resize, keep_scale
        self.projection, self.dim, self.ks = projection, dim, tuple(ks)
        self.batch_size, self.num_workers, self.dtype = batch_size, num_workers, dtype

    def __call__(self, model: nn.Module) -> dict[str, float | int]:
        """Embed the data set with a model and compute the metrics.

        Args:
            model: A `ViTRetModel`, also one loaded with `trust_remote_code`, without the projection.

        Returns:
            `{level}_map` and `{level}_precision_at_{k}` of the levels `easy`, `medium` and `hard`, in [0, 1], and the
            numbers of queries, as `revisited_metrics` returns them.
        """
        return means_of(self.query_metrics(model))

    def query_metrics(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Embed the data set with a model and compute the metrics of each query.

        Args:
            model: A `ViTRetModel`, also one loaded with `trust_remote_code`, without the projection.

        Returns:
            For each `{level}_map` and `{level}_precision_at_{k}`, `(num_queries,)` float64 on the CPU; nan for a query
            without a positive at this level.
        """
        model = self.projected(model)
        return revisited_query_metrics(
            self.embed(model, self.query, keep_scale=self.keep_scale),
            self.embed(model, self.gallery),
            self.ground_truth,
            distractors=None if self.distractors is None else self._embed_distractors(model, self.distractors),
            ks=self.ks,
        )

    def result(self, name: str, model: nn.Module, values: dict[str, torch.Tensor], **settings: Any) -> EvaluationResult:
        """Return the means of the metrics of each query, with the protocol and a confidence interval for each metric.

        `ComparisonResult.of_queries` compares two models on the same queries, from two results and the values that they
        come from.

        Args:
            name: Name of the model.
            model: The model, without the projection.
            values: What `query_metrics` returned for it.
            **settings: `num_resamples`, `confidence` and `seed` of `bootstrap_interval`; by default 10,000, 0.95 and 0.
        """
        intervals = {metric: bootstrap_interval(scores, **settings) for metric, scores in values.items()}
        return EvaluationResult(name, means_of(values), self.protocol(model), intervals)

    def projected(self, model: nn.Module) -> nn.Module:
        """Return a copy of the model with the projection put in, or the model itself if there is no projection.

        Args:
            model: A `ViTRetModel`, also one loaded with `trust_remote_code`.
        """
        if self.projection is None:
            return model
        return with_projection(model, self.projection.mean, self.projection.components[: self.dim])

    def embed(self, model: nn.Module, images: Any, *, keep_scale: bool = False, progress: bool = True) -> torch.Tensor:
        """Embed images with the settings of this evaluation.

        Args:
            model: A `ViTRetModel`, also one loaded with `trust_remote_code`; the projection is not added.
            images: A data set with a column `image`, or a sequence of rows or PIL images.
            keep_scale: Resize each image by its column `full_size`, as for queries.
            progress: Whether to show a progress bar.

        Returns:
            `(num_images, dim)` float32 on the CPU, unit L2 norm, in the order of the images.
        """
        return embed_multi_scale(
            model,
            images,
            scales=self.scales,
            image_size=self.image_size,
            resize=self.resize,
            keep_scale=keep_scale,
            batch_size=self.batch_size,
            num_workers=self.num_workers,
            dtype=self.dtype,
            progress=progress,
        )

    def _embed_distractors(self, model: nn.Module, distractors: Iterable[Any]) -> Iterator[torch.Tensor]:
        """Yield the embeddings of the distractors, `(num_rows, dim)` float32 each."""
        rows = iter(distractors)
        with tqdm(desc="Embedding distractors", unit="img", leave=False) as bar:
            while some := list(islice(rows, _BATCHES * self.batch_size)):
                yield self.embed(model, some, progress=False)
                bar.update(len(some))

    def protocol(self, model: nn.Module) -> dict[str, Any]:
        """Describe how a model is evaluated here: what another score must have in common to be comparable.

        Args:
            model: A `ViTRetModel`, also one loaded with `trust_remote_code`, without the projection.

        Returns:
            JSON values by name: the search and its numbers of images, whether there are distractors, `ks`, the rule and
            the tolerance for ties, the resizing, scales and patch size, `pooling`, `embedding_dim`, `projection` and
            `dtype`.
        """
        config: Any = model.config
        dtype = next(model.parameters()).dtype if self.dtype is None else self.dtype
        projection, dim = self.projection, config.output_dim
        if projection is not None:
            dim = len(projection.components[: self.dim])
        described = {
            "search": "query against gallery",
            "num_queries": len(self.ground_truth.query_ids),
            "num_gallery": len(self.ground_truth.gallery_ids),
            "distractors": self.distractors is not None,
            "relevance": "easy, hard and junk images of each query",
            "queries_without_positive": "left out of the means of their level",
            "ks": list(self.ks),
            "ties": "pessimistic",
            "tie_tolerance": TIE_TOLERANCE,
            "score": "cosine similarity",
            "image_size": config.image_size if self.image_size is None else self.image_size,
            "resize_mode": self.resize,
            "patch_size": patch_side(model),
            "queries_keep_scale": self.keep_scale,
            "scales": list(self.scales),
            "pooling": config.pooling,
            "embedding_dim": dim,
            "projection": {PCA: "PCA", LearnedWhitening: "learned whitening"}.get(type(projection), "the model's own"),
            "dtype": str(dtype).removeprefix("torch."),
        }
        if isinstance(projection, LearnedWhitening):
            described["shrinkage"] = float(projection.shrinkage)
        return described
