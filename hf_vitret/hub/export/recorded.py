"""Record the exports of a checkpoint, and the scores of its 8-bit graph, in its `results.json` and on its card."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

from ...evaluation.reporting.bootstrap import Comparison
from ...files.json_values import write_json
from ..card.formats import formats_in
from ..card.run_files import CURVES_NAME, PICTURE_NAME, RESULTS_NAME
from ..model_card import write_model_card

# The largest difference of scores of one model on the same images, due to other batch sizes or devices.
MAX_ROUNDING = 0.005


def record_format(folder: str | PathLike[str], name: str, **facts: Any) -> None:
    """Record in `results.json` that a checkpoint was exported in another format, and write its card again.

    Nothing is written if the folder has no `results.json`, because its card is then not one of this package.

    Args:
        folder: The folder of the checkpoint.
        name: A key of `hub.card.formats.FORMATS`. An earlier record of this format is replaced.
        **facts: The settings of the export as JSON values, stored as `results["exports"][name]`.
    """
    results = _results_of(Path(folder))
    if results is None:
        return
    formats = formats_in(Path(folder))
    exports = {**results.get("exports", {}), name: facts}
    results |= {"formats": formats, "exports": {each: exports[each] for each in formats if each in exports}}
    if name == "onnx":
        results.pop("int8", None)  # scores of the graph that the new one replaces
    _write(Path(folder), results)


def record_int8(folder: str | PathLike[str], change: Mapping[str, Comparison]) -> None:
    """Record the scores of an 8-bit graph in `results.json`, and write the card again.

    Args:
        folder: The folder of the checkpoint, with `results.json`.
        change: What `score_change` returned for the graph and the model on the data set of the run. It is stored as
            `results["int8"]`.

    Raises:
        FileNotFoundError: There is no `results.json` in the folder.
        ValueError: The model's scores differ from those in the results, because it was evaluated on other images.
    """
    results = _results_of(Path(folder))
    if results is None:
        raise FileNotFoundError(
            f"expected {RESULTS_NAME} of a training run in {folder}; there is none. Name the folder that training wrote"
        )
    scores = list(results["scores"].values())[-1]
    for name, found in change.items():
        known = scores.get(name)
        if known is not None and not math.isclose(found.mean_b, known, rel_tol=0, abs_tol=MAX_ROUNDING):
            raise ValueError(
                f"expected the images of {results['title']}, on which the model of {folder} has a {name} of "
                f"{known:.4f}; it has {found.mean_b:.4f} on these. Evaluate the graph on the data set of the run"
            )
    _write(Path(folder), results | {"int8": {name: asdict(found) for name, found in change.items()}})


def _results_of(folder: Path) -> dict[str, Any] | None:
    path = folder / RESULTS_NAME
    if not path.is_file():
        return None
    results: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return results


def _write(folder: Path, results: dict[str, Any]) -> None:
    write_json(folder / RESULTS_NAME, results)
    pictures = [name if (folder / name).is_file() else None for name in (PICTURE_NAME, CURVES_NAME)]
    write_model_card(folder, results, *pictures)
