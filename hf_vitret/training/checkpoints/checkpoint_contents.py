"""The list of files in a checkpoint, by which an incomplete checkpoint is recognised and never resumed from."""

import json
import logging
import re
from pathlib import Path

from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ...files.run_state import CONTENTS_NAME

logger = logging.getLogger(__name__)

_CHECKPOINT = re.compile(rf"{PREFIX_CHECKPOINT_DIR}-(\d+)")


def write_contents(folder: Path) -> None:
    """Write the list of a checkpoint's files with their sizes, after all other files."""
    sizes = {
        path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*")) if path.is_file()
    }
    (folder / CONTENTS_NAME).write_text(json.dumps({"bytes": sizes}, indent=2) + "\n", encoding="utf-8")


def check_whole(folder: Path) -> None:
    """Check that a checkpoint has every file that it was written with, at its full size.

    Args:
        folder: The folder of the checkpoint.

    Raises:
        FileNotFoundError: A file is missing or has another size, or the folder is no checkpoint of this package.
    """
    listing = folder / CONTENTS_NAME
    if not listing.is_file():
        raise FileNotFoundError(
            f"expected a checkpoint to resume from in {folder}; there is no {CONTENTS_NAME} in it, which is written "
            "last. Name another checkpoint, or leave --resume_from_checkpoint out to start a new run"
        )
    for name, size in json.loads(listing.read_text(encoding="utf-8"))["bytes"].items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size:
            found = f"{path.stat().st_size} bytes" if path.is_file() else "no such file"
            raise FileNotFoundError(
                f"expected {name} of {size} bytes in the checkpoint {folder}; got {found}. The checkpoint is "
                "incomplete: copy it again, or resume from another one"
            )


def checkpoints(parent: Path) -> list[Path]:
    """Return the checkpoint folders in a folder, complete or not.

    Args:
        parent: The output folder of a run.

    Returns:
        The folders named `checkpoint-N`, by ascending step N.
    """
    found = [(int(match[1]), path) for path in parent.glob("*") if (match := _CHECKPOINT.fullmatch(path.name))]
    return [path for _, path in sorted(found)]


def newest_whole_checkpoint(parent: Path) -> Path | None:
    """Return the complete checkpoint with the highest step, and log a warning for each incomplete one after it.

    Args:
        parent: The output folder of a run.

    Returns:
        The folder of the checkpoint; `None` if there is no complete one.
    """
    for folder in reversed(checkpoints(parent)):
        try:
            check_whole(folder)
        except FileNotFoundError as error:
            logger.warning("skipping an incomplete checkpoint: %s", error)
        else:
            return folder
    return None


def checkpoint_to_resume(parent: Path) -> Path:
    """Return the complete checkpoint with the highest step.

    Args:
        parent: The output folder of a run.

    Returns:
        The folder of the checkpoint.

    Raises:
        FileNotFoundError: There is no complete checkpoint.
    """
    newest = newest_whole_checkpoint(parent)
    if newest is None:
        raise FileNotFoundError(
            f"expected a checkpoint to resume from in {parent}; there is none. Leave --resume_from_checkpoint out to "
            "start a new run"
        )
    return newest
