"""The choice of the output folder of a run. A finished run is replaced only with `--overwrite`."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

from ...inference.find_checkpoint import CONFIG, FINAL_FOLDER

PARENT = "outputs"
RUN_FILE = "run.yaml"  # the settings that repeat the run


def default_output_dir(title: str) -> str:
    """Return the folder for runs on some data: `outputs/<title>`.

    Args:
        title: Name of the data; only the part of a Hub id after the slash is used.

    Example:
        >>> default_output_dir("user/shoes 2026")
        'outputs/shoes-2026'
    """
    name = re.sub(r"[^\w.-]+", "-", title.rsplit("/", 1)[-1]).strip("-.") or "run"
    return f"{PARENT}/{name}"


def is_finished(folder: Path) -> bool:
    """Return whether a folder contains a finished run."""
    return (folder / FINAL_FOLDER / CONFIG).is_file()


def is_begun(folder: Path) -> bool:
    """Return whether a folder contains checkpoints of a run."""
    return any(folder.glob("checkpoint-*"))


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of an earlier run, so that a new run in the folder does not continue from them.

    Args:
        folder: The output folder.
    """
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def choose_output_dir(given: str | None, title: str, *, overwrite: bool, resumes: bool) -> tuple[str, str | None]:
    """Choose the output folder of a run. All processes choose the same one, as long as none has written to it.

    Args:
        given: The folder that the user chose; `None` for `default_output_dir`, with a number if there is a run in it.
        title: Name of the data.
        overwrite: Whether to replace a run in the folder.
        resumes: Whether the run continues from a checkpoint of an interrupted run in the folder.

    Returns:
        The folder, and the reason if it has a number, else `None`.

    Raises:
        FileExistsError: The chosen folder contains a run; or the run would continue in the folder of a finished one.
    """
    wanted = given or default_output_dir(title)
    finished, begun = is_finished(Path(wanted)), is_begun(Path(wanted))
    if overwrite or not (finished or begun) or (resumes and not finished):
        return wanted, None
    state = "a finished run" if finished else "a run that was interrupted"
    how = "--overwrite replaces it"
    if not finished:
        how = f"--resume_from_checkpoint true --output_dir {shlex.quote(wanted)} goes on with it, and {how}"
    if given is not None or resumes:
        raise FileExistsError(
            f"expected an --output_dir without a run; {wanted} holds {state}: {how}; or name another folder"
        )
    number = 2
    while is_finished(Path(f"{wanted}-{number}")) or is_begun(Path(f"{wanted}-{number}")):
        number += 1
    return f"{wanted}-{number}", f"{wanted} holds {state}, so this one goes to {wanted}-{number} ({how})"
