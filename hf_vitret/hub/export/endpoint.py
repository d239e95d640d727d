"""Write the `handler.py` with which a Hugging Face Inference Endpoint serves a checkpoint."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ...files.atomic_writes import write_text
from .decoding import write_decoding

TEMPLATE = Path(__file__).with_name("templates") / "endpoint_handler.py"
HANDLER_NAME = "handler.py"
REQUIREMENTS = "transformers>=5,<6\ntorchvision>=0.21\npillow>=11\n"


def write_endpoint_handler(folder: str | PathLike[str]) -> Path:
    """Write `handler.py`, its package `decoding` and `requirements.txt` into a checkpoint's folder, for an Endpoint.

    Args:
        folder: The folder of the checkpoint. The handler loads the model through the code in the checkpoint and does
            not need this package.

    Returns:
        The path of `handler.py`.

    Raises:
        FileNotFoundError: There is no checkpoint in the folder.
    """
    check_is_checkpoint(Path(folder))
    write_text(Path(folder) / "requirements.txt", REQUIREMENTS)
    write_decoding(Path(folder))
    write_text(Path(folder) / HANDLER_NAME, TEMPLATE.read_text(encoding="utf-8"))
    return Path(folder) / HANDLER_NAME


def check_is_checkpoint(folder: Path) -> None:
    """Check that a folder holds a checkpoint that `save_pretrained` wrote.

    Raises:
        FileNotFoundError: There is no `config.json` in the folder.
    """
    if not (folder / "config.json").is_file():
        raise FileNotFoundError(
            f"expected a checkpoint in {folder}; it has no config.json. Name the folder that save_pretrained wrote"
        )
