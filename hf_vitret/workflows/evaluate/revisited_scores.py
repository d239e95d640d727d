"""Score the stages of a fine-tuned model on ROxford5k and RParis6k, with and without re-ranking."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from ...data.landmarks.revisited import load_revisited, load_revisited_ground_truth
from ...evaluation.reporting.report_text import aligned
from ...evaluation.revisited.evaluator import RevisitedEvaluator
from ...evaluation.revisited.labelled_images import LEVELS
from ...evaluation.revisited.metrics import means_of, revisited_query_metrics
from ...evaluation.revisited.post_processing import post_processed_query_metrics
from ...files.json_values import write_json

Stages: TypeAlias = "dict[str, dict[str, dict[str, float | int]]]"


def load_evaluators(
    names: Sequence[str], data_dir: str | Path | None, *, check_counts: bool = True, **settings: Any
) -> dict[str, RevisitedEvaluator]:
    """Load revisited benchmarks as evaluators.

    Args:
        names: Names of benchmarks: `"roxford5k"`, `"rparis6k"`.
        data_dir: The folder with the files of the benchmarks.
        check_counts: Whether a benchmark must have the official numbers of queries and images.
        **settings: Keyword arguments of `RevisitedEvaluator`, such as `batch_size`, `num_workers` and `dtype`.

    Returns:
        Name -> evaluator, in the order of `names`.

    Raises:
        FileNotFoundError: A file of a benchmark does not exist.
        ValueError: A file has another format, or the numbers are not the official ones.
    """
    evaluators = {}
    for name in names:
        images = load_revisited(name, data_dir, check_counts=check_counts)
        truth = load_revisited_ground_truth(name, data_dir, check_counts=check_counts)
        evaluators[name] = RevisitedEvaluator(images["query"], images["gallery"], truth, **settings)
    return evaluators


def score_stages(
    models: Mapping[str, nn.Module],
    evaluators: Mapping[str, RevisitedEvaluator],
    *,
    rerank: str = "query_expansion",
    num_neighbors: int | None = None,
) -> Stages:
    """Score models on benchmarks, without and with a re-ranking.

    Args:
        models: Title of a stage -> `ViTRetModel`.
        evaluators: Name of a benchmark -> its evaluator.
        rerank: Name of the re-ranking: `"query_expansion"`, `"database_augmentation"`, `"reciprocal"` or
            `"diffusion"`.
        num_neighbors: Number of neighbours that the re-ranking uses; `None` for the number of its paper.

    Returns:
        Name of a benchmark -> title of a stage -> metrics of `revisited_metrics`. The re-ranked scores of a stage
        follow it under the title `"<title>, <rerank>"`.

    Raises:
        ValueError: The re-ranking is unknown, or `num_neighbors` is out of its range.
    """
    stages: Stages = {name: {} for name in evaluators}
    for title, model in models.items():
        for name, evaluator in evaluators.items():
            query, gallery = (evaluator.embed(model, images) for images in (evaluator.query, evaluator.gallery))
            searched = revisited_query_metrics(query, gallery, evaluator.ground_truth)
            reranked = post_processed_query_metrics(
                query, gallery, evaluator.ground_truth, rerank, num_neighbors=num_neighbors
            )
            stages[name] |= {title: means_of(searched), f"{title}, {rerank}": means_of(reranked)}
    return stages


def report_stages(stages: Stages, target: Path) -> str:
    """Write all metrics to a JSON file, and format mAP as a table.

    Args:
        stages: The result of `score_stages`.
        target: Path of the JSON file.

    Returns:
        A table of mAP in percent, with a row for each stage and a column for each benchmark and level.
    """
    write_json(target, stages)
    table = [["mAP", *(f"{name} {level}" for name in stages for level in LEVELS)]]
    for title in next(iter(stages.values())):
        values = [by_title[title][f"{level}_map"] for by_title in stages.values() for level in LEVELS]
        table.append([title, *(f"{100 * value:.1f}" for value in values)])
    return "\n".join(aligned(table))
