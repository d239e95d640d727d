"""`find_checkpoint`: the folder of a checkpoint, from its own path or from the output folder of a training run."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

logger = logging.getLogger(__name__)

CONFIG = "config.json"
FINAL_FOLDER = "final"  # in the output folder of a run: the finished model


def find_checkpoint(source: str | PathLike[str]) -> str:
    """Return the folder of a checkpoint: the given folder, or `final` in the output folder of a training run.

    If the folder of a run is given, a warning in the log names the checkpoint.

    Args:
        source: A folder on this machine, or an id on the Hub, which is returned unchanged.

    Raises:
        FileNotFoundError: The folder has no checkpoint; the message says what it has.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return str(source)
    if (folder / CONFIG).is_file():
        return str(folder)
    if (folder / FINAL_FOLDER / CONFIG).is_file():
        logger.warning("%s is the folder of a run: the model is %s", source, folder / FINAL_FOLDER)
        return str(folder / FINAL_FOLDER)
    checkpoints = sorted(path.parent.name for path in folder.glob(f"checkpoint-*/{CONFIG}"))
    if checkpoints:
        raise FileNotFoundError(
            f"expected a model in {source}, with {CONFIG} or a folder {FINAL_FOLDER}; got the folder of a run that has "
            f"not ended, with {', '.join(checkpoints)}: name one of these, or continue the run with "
            "--resume_from_checkpoint true"
        )
    raise FileNotFoundError(
        f"expected a model in {source}, with {CONFIG} or a folder {FINAL_FOLDER}; it has neither: name the folder of a "
        "checkpoint"
    )
