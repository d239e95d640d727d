"""Tar archives of images without a folder of their own: each file goes to the place that its name asks for."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from ..untrusted.archives.extraction import MACOS_PREFIX, MAX_MEMBERS, begin_extraction
from ..untrusted.archives.members import UNOFFICIAL, ArchiveError, Limits
from ..untrusted.archives.tar_members import named_damage, tar_members
from .official_files import is_relative

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MAX_BYTES = 100 * 2**30  # unpacked, of all archives together: the images of SfM-120k are the most, tens of GiB


def extract_by_name(archives: Sequence[Path], target: Path, place: Callable[[str], str]) -> Path:
    """Extract the files of tar archives to `target`, wholly or not at all, whatever folders they lie in.

    The files are written to a folder beside `target`, which is renamed at the end. Of several processes that call at
    once one extracts and the others wait for it.

    Args:
        archives: Tar files, gzipped or not; their contents are put together.
        target: The folder to make; if it exists, nothing is done.
        place: The path below `target` for the name of a file.

    Returns:
        `target`.

    Raises:
        ValueError: An archive is damaged or cut off; a member is absolute, climbs with `..`, is a link or a device;
            two have one place; there is too much.
    """
    with begin_extraction(target) as partial:
        if partial is not None:
            limits = Limits(MAX_MEMBERS, MAX_BYTES)
            for archive in archives:
                _extract(archive, partial, place, limits)
    return target


def _extract(archive: Path, folder: Path, place: Callable[[str], str], limits: Limits) -> None:
    from tqdm.auto import tqdm

    size, name = archive.stat().st_size, f"Extracting {archive.name}"
    with named_damage(archive), tqdm(total=size, desc=name, unit="B", unit_scale=True) as bar:
        for member in tar_members(archive, limits):
            if not member.path.name.startswith(MACOS_PREFIX):
                relative = place(member.path.name)
                path = folder / relative
                if not is_relative(relative) or path.exists():
                    raise ArchiveError(f"has a second file, or none, for the place {relative!r}. {UNOFFICIAL}")
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as sink:
                    shutil.copyfileobj(member.content, sink)
            bar.update(member.position - bar.n)
