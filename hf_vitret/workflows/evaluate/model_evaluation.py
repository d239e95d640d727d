"""Score models on the same images by the same protocol: means with intervals, differences, match rates."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
import transformers

from ... import __version__
from ...embedding.model_identity import ModelIdentity
from ...evaluation.evaluator import RetrievalEvaluator, score_queries
from ...evaluation.matching.match_rates import MatchRates, match_rates
from ...evaluation.post_processing import PostProcessedSearch
from ...evaluation.ranking.exact_scores import exact_device
from ...evaluation.ranking.tiles import tile_size_within
from ...evaluation.reporting.bootstrap import bootstrap_interval
from ...evaluation.reporting.report import ComparisonResult, EvaluationResult
from ...files.json_values import json_values
from ...training.distributed.gathering import rank_and_world
from .gathered_embeddings import gathered_embeddings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datasets import DatasetDict

    from ...models.modeling_vitret import ViTRetModel


@dataclass(frozen=True)
class EvaluationSettings:
    """Settings of an evaluation.

    Attributes:
        ks: Cut-offs of the metrics, at least 1.
        metrics: Names of metrics, from `METRICS` in `evaluation_choices`.
        ties: `"pessimistic"` or `"expected"`: the rank of a positive that scores the same as a negative.
        rerank: Name of a re-ranking, from `RERANKINGS` in `evaluation_choices`; `None` for none.
        rerank_neighbors: Number of neighbours that the re-ranking uses; `None` for the number of its paper.
        num_resamples: Number of bootstrap resamples of the queries.
        confidence: Confidence of the intervals, between 0 and 1.
        bootstrap_seed: Seed of the resamples.
        batch_size: Number of images embedded at once.
        num_workers: Number of processes that decode images.
        dtype: Precision of the model: `"float32"`, `"bfloat16"` or `"float16"`.
        memory_budget: Bytes for the scores that are held at once; `None` for a default that suits the device.
        false_match_rates: False-match rates between 0 and 1 to find thresholds for; empty for none. The rate is the
            share of the pairs of images of two classes that score at least the threshold.

    Raises:
        ValueError: A setting is out of its range, or two settings contradict each other.
    """

    ks: Sequence[int]
    metrics: Sequence[str]
    ties: str
    rerank: str | None
    rerank_neighbors: int | None
    num_resamples: int
    confidence: float
    bootstrap_seed: int
    batch_size: int
    num_workers: int
    dtype: str
    memory_budget: int | None
    false_match_rates: Sequence[float]

    def __post_init__(self) -> None:
        if self.rerank is None and self.rerank_neighbors is not None:
            raise ValueError(
                "expected --rerank with --rerank_neighbors, which is a setting of it; give both, or neither"
            )
        if self.rerank is not None and self.false_match_rates:
            raise ValueError(
                "expected no --rerank with --false_match_rates: its scores are on another scale; leave one out"
            )
        wrong = [rate for rate in self.false_match_rates if not 0 <= rate <= 1]
        if wrong:
            raise ValueError(f"expected false-match rates from 0 to 1; got {wrong[0]}: one in a hundred is 0.01")
        tile_size_within(self.memory_budget)
        bootstrap_interval([0.0], **self.bootstrap)

    @property
    def bootstrap(self) -> dict[str, Any]:
        """Settings of `bootstrap_interval`."""
        return {"num_resamples": self.num_resamples, "confidence": self.confidence, "seed": self.bootstrap_seed}


@dataclass(frozen=True)
class ModelScores:
    """The scores of one model.

    Attributes:
        result: Means, intervals and the protocol.
        values: Metric -> value of each query, `(num_queries,)` float64; NaN for a query without a positive.
        match_rates: The identity of the model, and the thresholds of the false-match rates; `None` if no rates were
            requested.
    """

    result: EvaluationResult
    values: Mapping[str, torch.Tensor]
    match_rates: tuple[ModelIdentity, MatchRates] | None

    def tables(self) -> list[str]:
        """Return tables of the scores and, if they were requested, of the match rates."""
        return [self.result.table(), *([] if self.match_rates is None else [self.match_rates[1].table()])]

    def calibration(self) -> dict[str, Any]:
        """Return the content of `match_rates.json`, which `hf-vitret index` reads; empty if no rates were requested."""
        if self.match_rates is None:
            return {}
        model, rates = self.match_rates
        content = {"model": asdict(model), "data_set": self.result.protocol["data_set"], "match_rates": asdict(rates)}
        found: dict[str, Any] = json_values(content)
        return found


class ModelEvaluation:
    """Score models on one data set.

    Args:
        dataset: Data set with the split `test`, or the splits `query` and `gallery`.
        data: JSON values that describe the data in the protocol: `data_set`, its name, and others.
        settings: Settings of the evaluation.

    Raises:
        ValueError: A metric, a cut-off or a tie rule is unknown, or cannot be used with the re-ranking.
    """

    def __init__(self, dataset: DatasetDict, data: Mapping[str, Any], settings: EvaluationSettings) -> None:
        self.settings, self._data = settings, dict(data)
        self.evaluator = RetrievalEvaluator(
            dataset,
            ks=settings.ks,
            metrics=settings.metrics,
            ties=settings.ties,
            batch_size=settings.batch_size,
            num_workers=settings.num_workers,
            dtype=None if settings.dtype == "float32" else getattr(torch, settings.dtype),
            memory_budget=settings.memory_budget,
        )
        self._search: RetrievalEvaluator | PostProcessedSearch = self.evaluator
        if settings.rerank is not None:
            self._search = PostProcessedSearch(self.evaluator, settings.rerank, settings.rerank_neighbors)

    @property
    def unreadable(self) -> Mapping[str, int]:
        """Number of unreadable images by split, for the splits that have any."""
        found: Mapping[str, int] = self._data.get("unreadable_images", {})
        return found

    @property
    def mended(self) -> Mapping[str, int]:
        """Number of mended images by split, for the splits that have any."""
        found: Mapping[str, int] = self._data.get("mended_images", {})
        return found

    @property
    def left_out_files(self) -> Sequence[Mapping[str, Any]]:
        """The files of the data that are not used, by reason, as `LeftOut.to_json` returns them."""
        found: Sequence[Mapping[str, Any]] = self._data.get("left_out_files", [])
        return found

    def score(self, model: ViTRetModel, name: str) -> ModelScores | None:
        """Score one model; every process must call it, and embeds a share of the images.

        Args:
            model: The model.
            name: Name of the model in the report.

        Returns:
            The scores on the first process; `None` on the others.
        """
        device = next(model.parameters()).device
        query, gallery = gathered_embeddings(model, self.evaluator, device)
        if rank_and_world()[0]:
            return None
        values = score_queries(self._search, query, gallery, device)
        protocol = self._data | self._search.protocol(model) | self._environment(device)
        result = EvaluationResult.of_queries(name, values, protocol, **self.settings.bootstrap)
        if not self.settings.false_match_rates:
            return ModelScores(result, values, None)
        rates = self._match_rates(query, gallery, exact_device(device))
        return ModelScores(result, values, (ModelIdentity.of(model, name=name), rates))

    def compare(self, first: ModelScores, second: ModelScores) -> ComparisonResult:
        """Compare two models by the paired differences of their queries."""
        both = (first.result, second.result, first.values, second.values)
        return ComparisonResult.of_queries(*both, **self.settings.bootstrap)

    def _match_rates(self, query: torch.Tensor, gallery: torch.Tensor | None, device: torch.device) -> MatchRates:
        evaluator, rates = self.evaluator, list(self.settings.false_match_rates)
        if gallery is None:
            return match_rates(query.to(device), evaluator.query_labels, false_match_rates=rates)
        query_ids, gallery_ids = evaluator.shared_ids
        return match_rates(
            query.to(device),
            evaluator.query_labels,
            gallery.to(device),
            evaluator.gallery_labels,
            query_ids=query_ids,
            gallery_ids=gallery_ids,
            false_match_rates=rates,
        )

    def _environment(self, device: torch.device) -> dict[str, Any]:
        return {
            "batch_size": self.settings.batch_size,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "hf_vitret": __version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        }
