"""The files of a checkpoint's folder that are published: weights, configuration, code, card, results and exports."""

from __future__ import annotations

import json
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

from ..files.run_state import is_run_state
from ..inference.self_contained import CONFIG, check_self_contained
from .model_card import CARD_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

PROCESSOR = "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
# The endings of published files. Pickles, archives, logs and all other files are not published.
TEXTS = (".json", ".md", ".py", ".txt", ".yaml", ".yml")
ENDINGS = (*TEXTS, ".safetensors", ".onnx", ".onnx_data", ".png", ".jpg", ".jpeg", ".webp", ".svg")
# Folders that are not published: logs of trackers, and a Space, which has a repository of its own.
EXCLUDED = ("runs", "wandb", "space", "__pycache__", ".*")
SCORES = ".eval_results"  # the folder where the Hub reads scores, and the only hidden one that is published


def release_files(folder: str | PathLike[str]) -> dict[str, Path]:
    """List the files to publish of a checkpoint's folder, and check that none is missing.

    Args:
        folder: The checkpoint, with its card.

    Returns:
        Path in the repository -> local file, in ascending order: weights (safetensors only), configuration, image
        processor, model code, card, pictures, results and exports.

    Raises:
        FileNotFoundError: The folder is no checkpoint, or lacks its card, image processor or model code.
        ValueError: The weights are pickles, or the checkpoint refers to files or code outside its folder.
    """
    root = Path(folder)
    if not (root / CONFIG).is_file():
        raise FileNotFoundError(
            f"expected a checkpoint in {folder}; there is no {CONFIG} in it. Name the folder that save_pretrained wrote"
        )
    if not any((root / name).is_file() for name in WEIGHTS):
        if any(root.glob("*.bin")):
            raise ValueError(
                f"expected weights as safetensors in {folder}; got pickles (.bin), which are not safe to load. Save "
                "the model again with save_pretrained"
            )
        raise FileNotFoundError(
            f"expected {' or '.join(WEIGHTS)} in {folder}; there is neither. Save the model again with save_pretrained"
        )
    check_self_contained(root)
    needed = {CARD_NAME: "Write one with write_model_card", PROCESSOR: "Save the model again with save_pretrained"}
    needed |= dict.fromkeys(_model_code(root), "Save the model again with save_pretrained")
    for name, remedy in needed.items():
        if not (root / name).is_file():
            raise FileNotFoundError(f"expected {name} in {folder}; there is none. {remedy}")
    return {path.relative_to(root).as_posix(): path for path in _published(root)}


def _published(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        parts = [part for part in relative.parts if part != SCORES]
        is_included = not any(fnmatch(part, pattern) for part in parts for pattern in EXCLUDED)
        if is_included and path.is_file() and path.suffix in ENDINGS and not is_run_state(relative.as_posix()):
            yield path


def _model_code(root: Path) -> list[str]:
    """List the code files that `auto_map` in `config.json` names, from which transformers loads the model."""
    auto_map = json.loads((root / CONFIG).read_text(encoding="utf-8")).get("auto_map", {})
    if not {"AutoConfig", "AutoModel"} <= set(auto_map):
        raise FileNotFoundError(
            f"expected an auto_map for AutoConfig and AutoModel in {CONFIG} of {root}; there is none, and without it "
            "the checkpoint loads only where this package is installed. Load it with ViTRetModel.from_pretrained and "
            "save it again"
        )
    return [f"{code.partition('.')[0]}.py" for code in auto_map.values()]
