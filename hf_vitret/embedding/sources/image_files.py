"""Image files on this machine, so many to a shard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...data.images import IMAGE_SUFFIXES
from ...data.schema import name_some
from .source import ImageSource, SourceRow, SourceShard, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def file_source(root: Path, files: Sequence[Path], name: str, shard_size: int) -> ImageSource:
    """Take image files as they lie below a folder; `image_id` and `path` are their path in it.

    Raises:
        ValueError: A file has no name of an image.
    """
    import pyarrow as pa

    other = [file.relative_to(root).as_posix() for file in files if file.suffix.lower() not in IMAGE_SUFFIXES]
    if other:
        raise ValueError(
            f"{name}: {len(other)} of {len(files)} files are no images by their names: {name_some(other)}; known are "
            f"{', '.join(sorted(IMAGE_SUFFIXES))}"
        )
    parts = [files[first : first + shard_size] for first in range(0, len(files), shard_size)]
    starts = range(0, len(files), shard_size)
    shards = [_shard(root, part, f"{name}[{start}:{start + len(part)}]") for start, part in zip(starts, parts)]
    return ImageSource(name, shards, pa.schema([]))


def _shard(root: Path, files: Sequence[Path], name: str) -> SourceShard:
    paths = [file.relative_to(root).as_posix() for file in files]

    def read() -> Iterator[SourceRow]:
        for path, file in zip(paths, files):
            yield SourceRow(path, path, {"bytes": None, "path": str(file)})

    content = "\n".join(f"{path}\t{_size(file)}" for path, file in zip(paths, files))
    return SourceShard(name, digest_of(content), read, len(files))


def _size(file: Path) -> int:
    """Return the bytes of a file, -1 of a link that leads nowhere: its image will be listed as a bad one."""
    return file.stat().st_size if file.exists() else -1
