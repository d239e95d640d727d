"""The `handler.py` by which an Inference Endpoint serves a checkpoint."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ...files.atomic_writes import write_text

TEMPLATE = Path(__file__).with_name("templates") / "endpoint_handler.py"
HANDLER_NAME = "handler.py"
REQUIREMENTS = "transformers>=5,<6\ntorchvision>=0.21\npillow>=11\n"


def write_endpoint_handler(folder: str | PathLike[str]) -> Path:
    """Write `handler.py` and `requirements.txt` beside a checkpoint: what an Inference Endpoint looks for.

    Args:
        folder: The checkpoint. The handler loads it through its own code, without this package.

    Returns:
        The handler.

    Raises:
        FileNotFoundError: There is no checkpoint in the folder.
    """
    check_is_checkpoint(Path(folder))
    write_text(Path(folder) / "requirements.txt", REQUIREMENTS)
    write_text(Path(folder) / HANDLER_NAME, TEMPLATE.read_text(encoding="utf-8"))
    return Path(folder) / HANDLER_NAME


def check_is_checkpoint(folder: Path) -> None:
    """Require a folder that `save_pretrained` wrote.

    Raises:
        FileNotFoundError: It is not one.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"expected a checkpoint in {folder}; it has no config.json: write it by save_pretrained"
        )
