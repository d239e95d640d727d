"""The model card (`README.md`) of a training run; every number in it comes from the run's `results.json`."""

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
    """Write the model card `README.md` into a checkpoint's folder.

    The Python code in the card loads the checkpoint from the folder of the card; `pin_snippets` changes the code to
    load a release from the Hub.

    Shares are printed in percent, rounded to one decimal. The training time is printed in seconds, and in hours with
    two decimals. Counts have commas between thousands. All other numbers are printed as they are in the results.

    Args:
        folder: The folder of the checkpoint.
        results: The content of the run's `results.json`. Entries other than scores, data, model and training settings
            may be missing, as in the results of older runs; the card then leaves their sections out. Optional entries
            are

            * `scores`: empty for a run that measured nothing, or that has not been made yet: a run that has been made
              has `seconds` in `training`. The card says which.
            * `revisited`: the scores of `score_stages` on the revisited benchmarks.
            * `formats`: further formats of the checkpoint in the folder: `"sentence-transformers"` (`modules.json`)
              and `"onnx"` (`onnx/model.onnx`, from `pixel_values` to `embeddings`).
            * `exports`: for each format, the settings of its export.
            * `int8`: the scores of an 8-bit ONNX graph, as `record_int8` writes them.
        picture: File name of a picture of retrieved images in the folder; `None` shows no picture.
        curves: File name of the curves of `draw_run_curves` in the folder; `None` shows no curves.

    Returns:
        The path of the card.
    """
    last = list(results["scores"].values())[-1] if results["scores"] else {}
    # A backbone that was loaded from a folder is named after the folder, without its path, which may be private.
    backbone = results["base_model"] or Path(results["backbone"]).name
    exports = results.get("exports", {})
    card = ModelCard.from_template(
        _header(results, last, backbone),
        template_path=str(TEMPLATE),
        results=results,
        backbone=backbone,
        scores=last,
        is_trained=bool(last) or "seconds" in results["training"],
        metrics=metric_names(last),
        rows=score_rows(results) | int8_rows(results),
        drawn=how_intervals_were_drawn(results),
        paper_rows=with_revisited(paper_rows(results), results),
        revisited=revisited_rows(results),
        short_vectors=short_vector_tables(results.get("short_vectors")),
        protocol=_in_one_line(results.get("protocol", {})),
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
    """Make the YAML header, which the Hub's search reads."""
    data, metrics = results["data"], metric_names(scores)
    base_model = results["base_model"]
    return ModelCardData(
        model_name=f"{backbone} for {results['title']}" if metrics else None,
        base_model=base_model,
        # Adapters are merged into the weights before they are saved, so that every checkpoint is a full model.
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


def _in_one_line(protocol: Mapping[str, Any]) -> str:
    """Format the settings of an evaluation as one line of text."""
    shown = {name: ", ".join(map(str, value)) if isinstance(value, list) else value for name, value in protocol.items()}
    return "; ".join(f"{name} {value}" for name, value in shown.items())
