"""`tar_source`: tar archives of images in the layout of WebDataset, read as streams without extraction."""

from __future__ import annotations

import itertools
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ...data.images import IMAGE_SUFFIXES
from ...data.untrusted.archives.extraction import MACOS_PREFIX
from ...data.untrusted.archives.members import Limits
from ...data.untrusted.archives.tar_members import named_damage, tar_members
from .source import ImageSource, SourceRow, SourceShard

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...data.untrusted.archives.members import Member

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
SIDECARS = ("json", "txt", "cls")  # suffixes of the text files that belong to an image in WebDataset
# A stream takes no space on the disk. These limits stop an archive that expands without end.
MAX_MEMBERS, MAX_BYTES, MAX_MEMBER_BYTES = 10**8, 2**44, 2**28
MAX_SAMPLE_FILES = 32  # in memory at once; a sample has few files


def is_tar(file: Path) -> bool:
    """Return whether a file has the name of a tar archive."""
    return file.name.lower().endswith(TAR_SUFFIXES)


def tar_source(root: Path, files: Sequence[Path], name: str) -> ImageSource:
    """Return a source of the images in tar archives, with the ids `<archive>/<member>`.

    The files `a/7.json`, `a/7.txt` and `a/7.cls` are text metadata of `a/7.jpg`. The columns are those that the first
    sample of the first archive has.

    Raises:
        ValueError: The first archive is damaged or unsafe.
    """
    import pyarrow as pa

    with named_damage(files[0]):
        first = next(_samples(files[0]), [])
    found = {_extension(member.path) for member, _ in first}
    columns = pa.schema([(sidecar, pa.string()) for sidecar in SIDECARS if sidecar in found])
    return ImageSource(name, [_shard(root, file, columns.names) for file in files], columns, None, tuple(files))


def _shard(root: Path, file: Path, columns: list[str]) -> SourceShard:
    relative = file.relative_to(root).as_posix()

    def read() -> Iterator[SourceRow]:
        with named_damage(file):
            for sample in _samples(file):
                beside = {_extension(member.path): content for member, content in sample}
                texts = {name: _text(beside.get(name)) for name in columns}
                for member, content in sample:
                    if member.path.suffix.lower() in IMAGE_SUFFIXES:
                        path = f"{relative}/{member.path}"
                        yield SourceRow(path, path, {"bytes": content, "path": None}, texts)

    return SourceShard(relative, f"{file.stat().st_size}", read)


def _samples(archive: Path) -> Iterator[list[tuple[Member, bytes]]]:
    """Yield consecutive files whose names are the same up to the first dot, with their contents.

    A file is cut at `MAX_MEMBER_BYTES`, so that no decoder takes a larger file for an image.
    """
    members = (
        (member, member.content.read(MAX_MEMBER_BYTES))
        for member in tar_members(archive, Limits(MAX_MEMBERS, MAX_BYTES))
        if not member.path.name.startswith((MACOS_PREFIX, "."))
    )
    for _, sample in itertools.groupby(members, key=lambda pair: pair[0].path.parent / _key(pair[0].path)):
        while part := list(itertools.islice(sample, MAX_SAMPLE_FILES)):
            yield part


def _key(path: PurePosixPath) -> str:
    return path.name.partition(".")[0]


def _extension(path: PurePosixPath) -> str:
    return path.name.partition(".")[2].lower()


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode("utf-8", "replace")
