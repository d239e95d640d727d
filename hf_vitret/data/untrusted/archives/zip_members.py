"""Read the files in a zip archive. All of them are checked before the first one is read."""

from __future__ import annotations

import stat
import zipfile
import zlib
from typing import TYPE_CHECKING

from .members import ArchiveError, Limits, Member, check_kind, check_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path, PurePosixPath

# Exceptions that a damaged archive raises, also for a compression that zipfile does not know and names not in UTF-8.
ZIP_DAMAGE = (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, UnicodeDecodeError)
_IS_ENCRYPTED = 0x1  # bit of the flags of a member
_PLAIN_KINDS = (0, stat.S_IFREG, stat.S_IFDIR)  # 0: written on systems whose files have no mode


def zip_members(archive: Path, limits: Limits) -> Iterator[Member]:
    """Yield the files in a zip archive.

    Args:
        archive: A zip file.
        limits: Counts the files.

    Yields:
        Each file, in the order of the archive.

    Raises:
        ArchiveError: Any member of the archive has an unsafe path, is neither file nor folder, is encrypted, or exceeds
            the limits.
        Exception: One of `ZIP_DAMAGE`, also while the content of a member is read.
    """
    with zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        paths = [_check(info, limits) for info in infos]
        position = 0
        for info, path in zip(infos, paths):
            position += info.compress_size
            if not info.is_dir():
                with opened.open(info) as content:  # yields no more bytes than file_size
                    yield Member(path, content, position)


def _check(info: zipfile.ZipInfo, limits: Limits) -> PurePosixPath:
    path = check_path(info.filename, is_folder=info.is_dir())
    check_kind(info.filename, stat.S_IFMT(info.external_attr >> 16) in _PLAIN_KINDS)
    if info.flag_bits & _IS_ENCRYPTED:
        raise ArchiveError(
            "is encrypted: extract it with the password that its authors send, and pass the folder that you get"
        )
    limits.count(info.file_size)
    return path
