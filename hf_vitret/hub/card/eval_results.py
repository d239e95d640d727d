"""The file of evaluation results that the Hub reads for the leaderboard of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..score_table import in_percent, metric_names

FOLDER = ".eval_results"


def write_eval_results(folder: Path, results: Mapping[str, Any], repo_id: str | None = None) -> Path | None:
    """Write `.eval_results/<benchmark>.yaml` into a checkpoint's folder, if its test data are a benchmark of the Hub.

    The Hub accepts scores of data sets that it lists as benchmarks, under the tasks that the `eval.yaml` of the
    benchmark defines, and refuses a file that names anything else. No file is therefore written for other data sets;
    their scores are in the `model-index` of the card.

    Args:
        folder: The folder of the checkpoint.
        results: The content of the run's `results.json`. `results["data"]["benchmark"]` identifies the benchmark by
            `id` (the data set on the Hub), `tasks` (task of the benchmark -> name of the metric in `scores`) and,
            optionally, `revision` (a commit). `results["date"]` is the day of the run, if known.
        repo_id: Owner and name of the checkpoint's repository on the Hub, as the source of the scores; `None` writes
            no source.

    Returns:
        The path of the file; `None` if the data are no benchmark of the Hub or nothing is measured yet.

    Raises:
        KeyError: A task names a metric that was not measured.

    Reference:
        https://huggingface.co/docs/hub/eval-results
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml
    from huggingface_hub.utils import yaml_dump  # type: ignore[attr-defined]

    benchmark = results["data"].get("benchmark")
    if not benchmark or not results["scores"]:
        return None
    title, scores = list(results["scores"].items())[-1]
    intervals = results.get("intervals", {}).get(title, {})
    entries = [
        EvalResultEntry(
            dataset_id=benchmark["id"],
            task_id=task,
            dataset_revision=benchmark.get("revision"),
            value=scores[metric],
            date=results.get("date"),
            source_url=f"https://huggingface.co/{repo_id}" if repo_id else None,
            source_name="Model card" if repo_id else None,
            notes=_notes(metric, scores[metric], intervals.get(metric), results),
        )
        for task, metric in benchmark["tasks"].items()
    ]
    path = folder / FOLDER / f"{benchmark['id'].rsplit('/', 1)[-1]}.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml_dump(eval_result_entries_to_yaml(entries)), encoding="utf-8")
    return path


def _notes(metric: str, share: float, interval: Mapping[str, float] | None, results: Mapping[str, Any]) -> str:
    """Describe in one line how a score was measured, so that it can be compared with others."""
    model, protocol = results["model"], results.get("protocol", {})
    name = metric_names({metric: share}).get(metric, metric)
    parts = [
        f"{name} {in_percent(share, interval)} percent",
        protocol.get("search", ""),
        f"{model['image_size']} pixels",
        f"{model['embedding_dim']} dimensions",
        protocol.get("dtype", ""),
    ]
    return ", ".join(part for part in parts if part)
