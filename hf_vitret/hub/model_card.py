"""The model card of a run, written from the run's own results: no number is typed by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

TEMPLATE = Path(__file__).with_name("model_card_template.md")
CARD_NAME = "README.md"
RECALL = "recall_at_"


def metric_names(scores: Mapping[str, float]) -> dict[str, str]:
    """Name the scores of a run as readers know them: R@K in order, then MAP@R and R-precision.

    Args:
        scores: As in `results.json`, by the names of `retrieval_metrics`.

    Example:
        >>> metric_names({"map_at_r": 0.4, "recall_at_10": 0.9, "recall_at_1": 0.7, "num_queries": 5})
        {'recall_at_1': 'R@1', 'recall_at_10': 'R@10', 'map_at_r': 'MAP@R'}
    """
    ks = sorted(int(name.removeprefix(RECALL)) for name in scores if name.startswith(RECALL))
    others = {"map_at_r": "MAP@R", "r_precision": "R-precision"}
    return {f"{RECALL}{k}": f"R@{k}" for k in ks} | {key: name for key, name in others.items() if key in scores}


def write_model_card(folder: Path, results: Mapping[str, Any], picture: str | None = None) -> Path:
    """Write `README.md` beside a checkpoint.

    Args:
        folder: The checkpoint's folder.
        results: What the run wrote to `results.json`.
        picture: File name of a retrieval picture in the same folder.

    Returns:
        The card's path.
    """
    last = list(results["scores"].values())[-1]
    metrics = metric_names(last)
    # A backbone in a folder is named after it: its path is its maker's own business.
    backbone = results["base_model"] or Path(results["backbone"]).name
    data = ModelCardData(
        model_name=f"{backbone} for {results['title']}",
        base_model=results["base_model"],
        license=results["model_license"],
        library_name="transformers",
        pipeline_tag="image-feature-extraction",
        tags=["hf_vitret", "image-retrieval", "metric-learning", "visual-search"],
        metrics=list(metrics),
        eval_results=[
            EvalResult(
                task_type="image-retrieval",
                dataset_type="custom",
                dataset_name=results["title"],
                metric_type=key,
                metric_name=name,
                metric_value=last[key],
            )
            for key, name in metrics.items()
        ],
    )
    card = ModelCard.from_template(
        data,
        template_path=str(TEMPLATE),
        results=results,
        backbone=backbone,
        scores=last,
        metrics=metrics,
        picture=picture,
    )
    path = folder / CARD_NAME
    path.write_text(str(card), encoding="utf-8")
    return path
