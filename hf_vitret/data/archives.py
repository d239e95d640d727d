"""Unpack a zip archive safely: nothing leaves the target, nothing is half there, no bomb fills the disk."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from .schema import name_some

MAX_MEMBERS = 1_000_000  # Stanford Online Products has 120,053 images
MAX_BYTES = 20 * 2**30  # unpacked; Stanford Online Products takes about 3 GiB


def extract_zip(
    archive: Path, target: Path, root: str, *, max_bytes: int = MAX_BYTES, max_members: int = MAX_MEMBERS
) -> Path:
    """Extract the folder `root` of a zip archive to `target`, wholly or not at all.

    The members are written to a new folder beside `target`, which is renamed at the end. So an interrupted
    call can be repeated, and of several processes that extract at once one wins and the others find its
    result.

    Args:
        archive: The zip file.
        target: The folder to make; if it exists, nothing is done.
        root: The top folder inside the archive; members outside it (as `__MACOSX`) are left out.
        max_bytes: Largest size of all members together, unpacked.
        max_members: Largest number of members.

    Returns:
        `target`.

    Raises:
        ValueError: The file is no zip or is damaged; a member is absolute, climbs with `..` or is a link; the
            limits are exceeded; there is no folder `root`.
    """
    from tqdm.auto import tqdm

    if target.exists():
        return target
    try:
        with zipfile.ZipFile(archive) as opened:
            members = _choose_members(opened, root, max_bytes, max_members)
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as aside:
                size = sum(member.file_size for member in members)
                with tqdm(total=size, desc=f"Extracting {archive.name}", unit="B", unit_scale=True) as bar:
                    for member in members:
                        path = Path(aside, member.filename)
                        path.parent.mkdir(parents=True, exist_ok=True)
                        with opened.open(member) as source, path.open("wb") as sink:
                            shutil.copyfileobj(source, sink)
                        bar.update(member.file_size)
                _rename_unless_there(Path(aside, root), target)
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(
            f"{archive} is no zip archive or is damaged ({error}): was the download cut off? Download it again"
        ) from error
    return target


def _choose_members(opened: zipfile.ZipFile, root: str, max_bytes: int, max_members: int) -> list[zipfile.ZipInfo]:
    """Return the files under `root`, having checked every member before any byte is written."""
    infos = opened.infolist()
    unsafe = [info.filename for info in infos if not _is_safe(info)]
    if unsafe:
        raise ValueError(
            f"{opened.filename} has members that would land outside its folder, or are links: "
            f"{name_some(unsafe)}. This is not the official archive; nothing was extracted"
        )
    size = sum(info.file_size for info in infos)  # zipfile never reads more of a member than this
    if len(infos) > max_members or size > max_bytes:
        raise ValueError(
            f"{opened.filename} would unpack to {len(infos):,} files of {size:,} bytes, over the limits of "
            f"{max_members:,} and {max_bytes:,}. This is not the official archive; nothing was extracted"
        )
    members = [info for info in infos if not info.is_dir() and PurePosixPath(info.filename).parts[:1] == (root,)]
    if not members:
        tops = sorted({PurePosixPath(info.filename).parts[0] for info in infos})
        raise ValueError(f"{opened.filename} has no folder {root!r}; at its top are: {name_some(tops) or 'nothing'}")
    return members


def _is_safe(info: zipfile.ZipInfo) -> bool:
    """Say whether a member is a file or folder below the archive's own top, on every operating system."""
    path = PurePosixPath(info.filename.replace("\\", "/"))
    is_inside = path.parts and not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0]
    return bool(is_inside) and not stat.S_ISLNK(info.external_attr >> 16)


def _rename_unless_there(source: Path, target: Path) -> None:
    """Rename a folder; where another process has made the target in the meantime, keep that one."""
    try:
        source.rename(target)  # fails on a folder that is not empty, also on POSIX
    except OSError:
        if not target.is_dir():
            raise
