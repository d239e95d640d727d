"""mAP of models on the revisited benchmarks, stage by stage, each before and after re-ranking."""

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
    """Load benchmarks.

    Args:
        names: `"roxford5k"`, `"rparis6k"`.
        data_dir: The folder that they lie in.
        check_counts: Whether they must be as large as the official ones.
        **settings: As for `RevisitedEvaluator`.

    Raises:
        FileNotFoundError: As for `load_revisited`.
        ValueError: As for `load_revisited`.
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
    """Score models on benchmarks, each as it searches and re-ranked.

    Args:
        models: `ViTRetModel`s, by the title of the stage.
        evaluators: The benchmarks, by name.
        rerank: As for `post_processed_query_metrics`, its `method`.
        num_neighbors: As there.

    Returns:
        For each benchmark and the title of each stage the metrics of `revisited_metrics`.

    Raises:
        ValueError: As for `post_processed_query_metrics`.
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
    """Write all metrics to a JSON file, and lay out mAP in percent.

    Args:
        stages: What `score_stages` returned.
        target: The file.

    Returns:
        A table for the screen: a line for each stage, a column for each benchmark and level.
    """
    write_json(target, stages)
    table = [["mAP", *(f"{name} {level}" for name in stages for level in LEVELS)]]
    for title in next(iter(stages.values())):
        values = [by_title[title][f"{level}_map"] for by_title in stages.values() for level in LEVELS]
        table.append([title, *(f"{100 * value:.1f}" for value in values)])
    return "\n".join(aligned(table))
