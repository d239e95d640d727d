"""The files in a zip archive, all of them checked before the first is given out."""

from __future__ import annotations

import stat
import zipfile
import zlib
from typing import TYPE_CHECKING

from .members import ArchiveError, Limits, Member, check_kind, check_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path, PurePosixPath

# What reading a damaged one raises; also for a compression that zipfile does not know, and names that are not UTF-8.
ZIP_DAMAGE = (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, UnicodeDecodeError)
_IS_ENCRYPTED = 0x1  # of a member's flags
_PLAIN_KINDS = (0, stat.S_IFREG, stat.S_IFDIR)  # 0: written where files have no mode


def zip_members(archive: Path, limits: Limits) -> Iterator[Member]:
    """Yield the files in a zip archive.

    Raises:
        ArchiveError: A member, of all of them, would land outside of a folder, is no file, is encrypted, or is one too
            many.
        Exception: One of `ZIP_DAMAGE`, also while a member's content is read.
    """
    with zipfile.ZipFile(archive) as opened:
        infos = opened.infolist()
        paths = [_check(info, limits) for info in infos]
        position = 0
        for info, path in zip(infos, paths):
            position += info.compress_size
            if not info.is_dir():
                with opened.open(info) as content:  # gives no more bytes than file_size
                    yield Member(path, content, position)


def _check(info: zipfile.ZipInfo, limits: Limits) -> PurePosixPath:
    path = check_path(info.filename, is_folder=info.is_dir())
    check_kind(info.filename, stat.S_IFMT(info.external_attr >> 16) in _PLAIN_KINDS)
    if info.flag_bits & _IS_ENCRYPTED:
        raise ArchiveError(
            "is encrypted: unpack it with the password that its authors send, and pass the folder that comes out"
        )
    limits.count(info.file_size)
    return path
