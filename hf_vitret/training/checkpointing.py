"""Folders that are whole or not there: written aside, then renamed."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PARTIAL_PREFIX = ".partial-"
OUTDATED_PREFIX = f"{PARTIAL_PREFIX}outdated-"


def begin_folder(target: Path) -> Path:
    """Make an empty folder beside `target`, to write to until `commit_folder` puts it in its place."""
    partial = partial_folder(target)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def partial_folder(target: Path) -> Path:
    """Name the folder in which `target` is written: the same on every process."""
    return target.with_name(PARTIAL_PREFIX + target.name)


def commit_folder(target: Path) -> None:
    """Rename the folder that `begin_folder` made to `target`, in the place of what was there."""
    outdated = target.with_name(OUTDATED_PREFIX + target.name)
    if target.exists():
        target.rename(outdated)
    partial_folder(target).rename(target)
    if outdated.exists():
        shutil.rmtree(outdated)


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Give a folder to write to that takes the place of `target` once the block has ended well.

    A process killed inside the block leaves `target` as it was, and beside it a folder that
    `remove_partial_folders` clears away. An exception leaves nothing.
    """
    partial = begin_folder(target)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    commit_folder(target)


def remove_partial_folders(parent: Path) -> None:
    """Clear away what a killed process had begun to write under `parent`.

    One killed between the two renames of `commit_folder` left no target: what was there before it comes back.
    """
    for outdated in parent.glob(f"{OUTDATED_PREFIX}*"):
        target = outdated.with_name(outdated.name.removeprefix(OUTDATED_PREFIX))
        if not target.exists():
            outdated.rename(target)
    for partial in parent.glob(f"{PARTIAL_PREFIX}*"):
        shutil.rmtree(partial)
