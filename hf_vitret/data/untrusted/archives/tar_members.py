"""The files in a tar archive, gzipped or not, each checked as it is reached: sizes are known only while reading."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from .members import UNOFFICIAL, ArchiveError, Limits, Member, check_kind, check_path

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike
    from pathlib import Path

# What reading a damaged one raises; a chain of headers without a file ends in the last.
TAR_DAMAGE = (tarfile.TarError, gzip.BadGzipFile, EOFError, zlib.error, RecursionError)
GZIP_MAGIC = b"\x1f\x8b"
# The most that is read at once, of a header too: an honest one takes a few kilobytes, whatever it claims.
_MAX_READ = 16 * 2**20


def tar_members(archive: Path, limits: Limits) -> Iterator[Member]:
    """Yield the files in a tar archive.

    Raises:
        ArchiveError: A member that was reached would land outside of a folder, is no file, or is one too many.
        Exception: One of `TAR_DAMAGE`, also while a member's content is read.
    """
    with archive.open("rb") as raw:
        is_zipped = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
        raw.seek(0)
        unzipped: Any = gzip.GzipFile(fileobj=raw) if is_zipped else raw
        reads: Any = _BoundedReads(unzipped)
        with tarfile.open(fileobj=reads, mode="r:") as opened:
            for info in opened:
                path = check_path(info.name, is_folder=info.isdir())
                check_kind(info.name, info.isreg() or info.isdir())
                limits.count(info.size)
                content = opened.extractfile(info)
                if content is not None:
                    yield Member(path, content, raw.tell())
                opened.members.clear()  # type: ignore[attr-defined]  # it would keep every header it has read
            _check_end(reads)


@contextmanager
def named_damage(archive: str | PathLike[str]) -> Iterator[None]:
    """Say of which tar archive it is that what reading it raises.

    Raises:
        ValueError: It is unsafe, or damaged.
    """
    try:
        yield
    except ArchiveError as error:
        raise ValueError(f"{archive} {error}") from error
    except TAR_DAMAGE as error:
        raise ValueError(
            f"{archive} is no tar archive, or is damaged ({type(error).__name__}: {error}): was the download cut off? "
            "Download it again"
        ) from error


class _BoundedReads:
    """A file that refuses to read much at once: a header may claim any length, and gzip makes zeros of nothing.

    Attributes:
        last: What was read last.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.last = b""

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_READ:
            raise ArchiveError(f"has a header of {size:,} bytes. {UNOFFICIAL}")
        self.last = self._file.read(size)
        return self.last

    def seek(self, place: int, whence: int = 0) -> int:
        return self._file.seek(place, whence)

    def tell(self) -> int:
        return self._file.tell()


def _check_end(reads: _BoundedReads) -> None:
    """Check that the archive ended where it says so: `tarfile` takes a header that is cut off or broken for the end.

    What follows is padding; reading it lets gzip compare its checksum.
    """
    if reads.last != bytes(tarfile.BLOCKSIZE):
        raise tarfile.ReadError("no mark at its end")
    for _ in range(_MAX_READ // tarfile.RECORDSIZE):
        if not reads.read(tarfile.RECORDSIZE):
            return
    raise ArchiveError(f"goes on for more than {_MAX_READ:,} bytes after its end. {UNOFFICIAL}")
