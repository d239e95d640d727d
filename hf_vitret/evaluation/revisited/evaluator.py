"""Score a model on a revisited data set: embed queries, gallery and distractors, and apply the metrics."""

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

# Distractors embedded at once, in batches: their pixels are held together, 2.4 MB each for 1024 x 768.
_BATCHES = 4


class RevisitedEvaluator:
    """Evaluate retrieval models on ROxford5k, RParis6k or a data set like them.

    Args:
        query: Data set with the columns `image`, cropped to the object, and `image_id`.
        gallery: The same of the images to search.
        ground_truth: What is easy, hard and junk; its ids are those of the data sets, in their order.
        distractors: Rows with an `image`, such as a data set or a stream, none of which shows an object that is asked
            for. Read once an evaluation, and embedded a few batches at a time.
        scales: As for `embed_multi_scale`, as are those below.
        image_size: Pixels of a side, or of the longer one. None: the model's.
        resize: `"square"`, as in the paper, or `"aspect"`.
        keep_scale: Queries as large as they are in their whole images, by their column `full_size`.
        projection: A `PCA` or `LearnedWhitening` that is put into the model for the evaluation. None: the model as it
            is.
        dim: Dimensions of the projection. None: all that it has.
        ks: Cut-offs of mP@k.
        batch_size: Images embedded at once.
        num_workers: Processes that decode.
        dtype: `torch.bfloat16` or `torch.float16` embeds under autocast.

    Raises:
        ValueError: The data sets are not those of the ground truth, or a dim is given without a projection.
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
                    f"which the first that differs is in row {first}. load_revisited gives them"
                )
        if dim is not None and projection is None:
            raise ValueError(f"dim {dim} needs a projection, a PCA or a LearnedWhitening, to give as many dimensions")
        self.query, self.gallery, self.ground_truth, self.distractors = query, gallery, ground_truth, distractors
        self.scales, self.image_size, self.resize, self.keep_scale = tuple(scales), image_size, resize, keep_scale
        self.projection, self.dim, self.ks = projection, dim, tuple(ks)
        self.batch_size, self.num_workers, self.dtype = batch_size, num_workers, dtype

    def __call__(self, model: nn.Module) -> dict[str, float | int]:
        """Embed with the model and score; see `revisited_metrics` for what comes back."""
        return means_of(self.query_metrics(model))

    def query_metrics(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """Embed with the model and score each query by itself; see `revisited_query_metrics`."""
        model = self.projected(model)
        return revisited_query_metrics(
            self.embed(model, self.query, keep_scale=self.keep_scale),
            self.embed(model, self.gallery),
            self.ground_truth,
            distractors=None if self.distractors is None else self._embed_distractors(model, self.distractors),
            ks=self.ks,
        )

    def result(self, name: str, model: nn.Module, values: dict[str, torch.Tensor], **settings: Any) -> EvaluationResult:
        """Report what each query scored, with the protocol and an interval for each metric.

        Two models are compared on the same queries by `ComparisonResult.of_queries`, which takes two results and the
        values they are made of.

        Args:
            name: Of the model.
            model: The model, without the projection.
            values: What `query_metrics` returned for it.
            **settings: `num_resamples`, `confidence` and `seed` of `bootstrap_interval`.
        """
        intervals = {metric: bootstrap_interval(scores, **settings) for metric, scores in values.items()}
        return EvaluationResult(name, means_of(values), self.protocol(model), intervals)

    def projected(self, model: nn.Module) -> nn.Module:
        """Put the projection, if there is one, into a copy of the model."""
        if self.projection is None:
            return model
        return with_projection(model, self.projection.mean, self.projection.components[: self.dim])

    def embed(self, model: nn.Module, images: Any, *, keep_scale: bool = False, progress: bool = True) -> torch.Tensor:
        """Embed images as this evaluation does, `(N, dim)` float32, with the model as it is."""
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
        """Yield the embeddings of the distractors, `(some, dim)` float32 each."""
        rows = iter(distractors)
        with tqdm(desc="Embedding distractors", unit="img", leave=False) as bar:
            while some := list(islice(rows, _BATCHES * self.batch_size)):
                yield self.embed(model, some, progress=False)
                bar.update(len(some))

    def protocol(self, model: nn.Module) -> dict[str, Any]:
        """Describe how a model is evaluated here: what a score must carry to be compared with another.

        Args:
            model: A `ViTRetModel`, also one loaded with `trust_remote_code`.

        Returns:
            JSON values by name.
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
