"""The output folder of a run: a finished run is never replaced unless that is asked for."""

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
        title: What the data are called; of an id on the Hub the part behind the slash counts.

    Example:
        >>> default_output_dir("user/shoes 2026")
        'outputs/shoes-2026'
    """
    name = re.sub(r"[^\w.-]+", "-", title.rsplit("/", 1)[-1]).strip("-.") or "run"
    return f"{PARENT}/{name}"


def is_finished(folder: Path) -> bool:
    """Return whether a run has ended in a folder."""
    return (folder / FINAL_FOLDER / CONFIG).is_file()


def is_begun(folder: Path) -> bool:
    """Return whether a run has written checkpoints to a folder."""
    return any(folder.glob("checkpoint-*"))


def remove_checkpoints(folder: Path) -> None:
    """Remove the checkpoints of an earlier run, which a later one would take for its own.

    Args:
        folder: The output folder of both.
    """
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)


def choose_output_dir(given: str | None, title: str, *, overwrite: bool, resumes: bool) -> tuple[str, str | None]:
    """Choose the folder that a run writes to: the same on every process, before any of them writes.

    Args:
        given: The folder that was asked for; `None`: `default_output_dir`, with a number where it is taken.
        title: What the data are called.
        overwrite: Whether a run that is there is replaced.
        resumes: Whether the run goes on from a checkpoint: in the folder of the run that was interrupted.

    Returns:
        The folder; and a sentence that says why it is not the default, or `None`.

    Raises:
        FileExistsError: A run is in the folder that was asked for; or a finished one is where the run would go on.
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
