"""The model card of a run, written from the run's own results: no number is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from ..files.atomic_writes import write_text
from .card.citations import citations
from .card.int8_rows import int8_rows
from .card.revisited_table import revisited_rows, with_revisited
from .card.short_vector_table import short_vector_tables
from .score_table import how_intervals_were_drawn, metric_names, paper_rows, score_rows

TEMPLATE = Path(__file__).with_name("model_card_template.md")
CARD_NAME = "README.md"


def write_model_card(
    folder: Path,
    results: Mapping[str, Any],
    picture: str | None = None,
    curves: str | None = None,
) -> Path:
    """Write `README.md` beside a checkpoint.

    Its code loads the folder that it lies in; `pin_snippets` makes it load a release on the Hub.

    A share is written in percent, rounded to a tenth; a time in seconds, and in hours to a hundredth; counts with
    commas; all other numbers as the results have them.

    Args:
        folder: The checkpoint's folder.
        results: What the run wrote to `results.json`. What it says of more than scores, data and settings may be
            missing, as in that of an older run: then the card does not tell it. `scores` are empty where the run is
            still to be made: then the card says so. `results["revisited"]` is what `score_stages` measured on
            particular objects. `formats` are the other ways to load that lie in the folder:
            `"sentence-transformers"` (`modules.json`), `"onnx"` (`onnx/model.onnx`, `pixel_values` to `embeddings`);
            `exports` says of each how it was made, and `int8` what an 8-bit graph scores (`hub/export/recorded.py`).
        picture: File name of a retrieval picture in the same folder.
        curves: File name of the curves of `draw_run_curves` there.

    Returns:
        The card's path.
    """
    last = list(results["scores"].values())[-1] if results["scores"] else {}
    # A backbone in a folder is named after it: its path is its maker's own business.
    backbone = results["base_model"] or Path(results["backbone"]).name
    exports = results.get("exports", {})
    card = ModelCard.from_template(
        _header(results, last, backbone),
        template_path=str(TEMPLATE),
        results=results,
        backbone=backbone,
        scores=last,
        metrics=metric_names(last),
        rows=score_rows(results) | int8_rows(results),
        drawn=how_intervals_were_drawn(results),
        paper_rows=with_revisited(paper_rows(results), results),
        revisited=revisited_rows(results),
        short_vectors=short_vector_tables(results.get("short_vectors")),
        protocol=_in_words(results.get("protocol", {})),
        citations=citations(results),
        picture=picture,
        curves=curves,
        formats=results.get("formats", []),
        needs_code=exports.get("sentence-transformers", {}).get("needs_code", False),
        takes_floats=exports.get("onnx", {}).get("input_dtype") == "float32",
    )
    path = folder / CARD_NAME
    write_text(path, str(card).rstrip() + "\n")
    return path


def _header(results: Mapping[str, Any], scores: Mapping[str, float], backbone: str) -> ModelCardData:
    """Make the header, which the Hub searches by."""
    data, metrics = results["data"], metric_names(scores)
    base_model = results["base_model"]
    return ModelCardData(
        model_name=f"{backbone} for {results['title']}" if metrics else None,
        base_model=base_model,
        # The weights are whole, those of adapters too: they are merged before they are written.
        base_model_relation="finetune" if base_model else None,
        datasets=[data["dataset_id"]] if data.get("dataset_id") else None,
        license=results["model_license"],
        license_name=results.get("model_license_name"),
        license_link=results.get("model_license_link"),
        library_name="transformers",
        pipeline_tag="image-feature-extraction",
        tags=["hf_vitret", "image-retrieval", "metric-learning", "visual-search"],
        metrics=list(metrics) or None,
        eval_results=[
            EvalResult(
                task_type="image-retrieval",
                task_name="Image retrieval",
                dataset_type=data.get("dataset_id") or "custom",
                dataset_name=results["title"],
                dataset_split="query" if "query" in data["splits"] else "test",
                dataset_revision=data.get("revision"),
                metric_type=key,
                metric_name=name,
                metric_value=scores[key],
            )
            for key, name in metrics.items()
        ]
        or None,
    )


def _in_words(protocol: Mapping[str, Any]) -> str:
    """Write a protocol in one line."""
    shown = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in protocol.items()}
    return "; ".join(f"{name} {value}" for name, value in shown.items())
