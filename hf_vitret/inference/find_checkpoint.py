"""The folder of a checkpoint, also where the folder of its run is named."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

logger = logging.getLogger(__name__)

CONFIG = "config.json"
FINAL_FOLDER = "final"  # of a run's output folder: the model that it ends with


def find_checkpoint(source: str | PathLike[str]) -> str:
    """Return the checkpoint that a name stands for: itself, or `final` in the output folder of a training run.

    What is taken for the name of a run is logged.

    Args:
        source: A folder on this machine, or an id on the Hub, which is returned as it is.

    Raises:
        FileNotFoundError: The folder holds no checkpoint; the message says what it holds.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir() or (folder / CONFIG).is_file():
        return str(source)
    if (folder / FINAL_FOLDER / CONFIG).is_file():
        logger.warning("%s is the folder of a run: the model is %s", source, folder / FINAL_FOLDER)
        return str(folder / FINAL_FOLDER)
    checkpoints = sorted(path.parent.name for path in folder.glob(f"checkpoint-*/{CONFIG}"))
    if checkpoints:
        raise FileNotFoundError(
            f"expected a model in {source}, with {CONFIG} or a folder {FINAL_FOLDER}; got the folder of a run that has "
            f"not ended, with {', '.join(checkpoints)}: name one of these, or finish the run with "
            "--resume_from_checkpoint true"
        )
    raise FileNotFoundError(f"expected a model in {source}, with {CONFIG} or a folder {FINAL_FOLDER}; there is neither")
