"""The model card of a run, written from the run's own results: no number is typed by hand."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .score_table import how_intervals_were_drawn, metric_names, score_rows

TEMPLATE = Path(__file__).with_name("model_card_template.md")
CARD_NAME = "README.md"


def write_model_card(folder: Path, results: Mapping[str, Any], picture: str | None = None) -> Path:
    """Write `README.md` beside a checkpoint.

    Args:
        folder: The checkpoint's folder.
        results: What the run wrote to `results.json`. Without `protocol` and `intervals`, as older runs wrote it, the
            card has none.
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
        rows=score_rows(results),
        drawn=how_intervals_were_drawn(results),
        protocol=_in_words(results.get("protocol", {})),
        picture=picture,
    )
    path = folder / CARD_NAME
    path.write_text(str(card), encoding="utf-8")
    return path


def _in_words(protocol: Mapping[str, Any]) -> str:
    """Write a protocol in one line."""
    shown = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in protocol.items()}
    return "; ".join(f"{name} {value}" for name, value in shown.items())
