"""The model card of a run, written from the run's own results: no number is typed by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

TEMPLATE = Path(__file__).with_name("model_card_template.md")
CARD_NAME = "README.md"
# Results of a run -> the name that readers know and the Hub's metric type.
METRICS = {
    "recall_at_1": ("R@1", "recall_at_1"),
    "recall_at_10": ("R@10", "recall_at_10"),
    "recall_at_100": ("R@100", "recall_at_100"),
    "map_at_r": ("MAP@R", "map_at_r"),
    "r_precision": ("R-precision", "r_precision"),
}


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
    metrics = {key: name for key, (name, _) in METRICS.items() if key in last}
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
                metric_type=METRICS[key][1],
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
