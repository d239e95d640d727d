"""Which files of a checkpoint's folder a release has: what is used and read, nothing of the run that made it."""

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
# What a release may have, by its ending: no pickle, no archive, no log. Whatever else lies there stays at home.
TEXTS = (".json", ".md", ".py", ".txt", ".yaml", ".yml")
ENDINGS = (*TEXTS, ".safetensors", ".onnx", ".onnx_data", ".png", ".jpg", ".jpeg", ".webp", ".svg")
# Trackers' logs; a Space, which is a repository of its own, with images of the data.
NOT_OURS = ("runs", "wandb", "space", "__pycache__", ".*")
SCORES = ".eval_results"  # where the Hub looks for them: the only hidden folder of a release


def release_files(folder: str | PathLike[str]) -> dict[str, Path]:
    """List the files of a release: path in the repository -> file.

    Args:
        folder: The checkpoint, with its card beside it.

    Returns:
        Weights (safetensors alone), configuration, image processor, model code, card, pictures, results, and what was
        exported beside them, by ascending path.

    Raises:
        FileNotFoundError: It is no checkpoint, or has no card, no image processor or not the code of its model.
        ValueError: Its weights are pickles, or it names files or code outside itself.
    """
    root = Path(folder)
    if not (root / CONFIG).is_file():
        raise FileNotFoundError(f"expected a checkpoint in {folder}; there is no {CONFIG} in it")
    if not any((root / name).is_file() for name in WEIGHTS):
        if any(root.glob("*.bin")):
            raise ValueError(
                f"expected weights as safetensors in {folder}; got pickles (.bin), which nobody should load: save the "
                "model again with save_pretrained"
            )
        raise FileNotFoundError(f"expected {' or '.join(WEIGHTS)} in {folder}; there is neither")
    check_self_contained(root)
    needed = {CARD_NAME: "write one with write_model_card", PROCESSOR: "save the model again with save_pretrained"}
    needed |= dict.fromkeys(_model_code(root), "save the model again with save_pretrained")
    for name, remedy in needed.items():
        if not (root / name).is_file():
            raise FileNotFoundError(f"{folder} has no {name}; {remedy}")
    return {path.relative_to(root).as_posix(): path for path in _published(root)}


def _published(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        parts = [part for part in relative.parts if part != SCORES]
        is_ours = not any(fnmatch(part, pattern) for part in parts for pattern in NOT_OURS)
        if is_ours and path.is_file() and path.suffix in ENDINGS and not is_run_state(relative.as_posix()):
            yield path


def _model_code(root: Path) -> list[str]:
    """Name the files that `auto_map` has the model from, and what `config.json` needs to load without this package."""
    auto_map = json.loads((root / CONFIG).read_text(encoding="utf-8")).get("auto_map", {})
    if not {"AutoConfig", "AutoModel"} <= set(auto_map):
        raise FileNotFoundError(
            f"expected an auto_map for AutoConfig and AutoModel in {CONFIG} of {root}, without which it loads only "
            "where this package is installed; load it with ViTRetModel.from_pretrained and save it again"
        )
    return [f"{code.partition('.')[0]}.py" for code in auto_map.values()]
