"""Image files on this machine, so many to a shard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...data.images import IMAGE_SUFFIXES
from ...data.schema import name_some
from .source import ImageSource, SourceRow, SourceShard, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

LABEL_COLUMN = "label"


def file_source(root: Path, files: Sequence[Path], name: str, shard_size: int) -> ImageSource:
    """Take image files as they lie below a folder; `image_id` and `path` are their path in it.

    Where an image lies in a folder of its own below that, the name of the folder that directly holds it travels along
    as `label`, the class of a folder of class folders; it is null for an image at the top.

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
    columns = pa.schema([pa.field(LABEL_COLUMN, pa.string())] if any(file.parent != root for file in files) else [])
    return ImageSource(name, shards, columns, root, tuple(files))


def label_of(file: Path, root: Path) -> str | None:
    """Return the name of the folder that directly holds a file, `None` where that is `root`."""
    return None if file.parent == root else file.parent.name


def _shard(root: Path, files: Sequence[Path], name: str) -> SourceShard:
    paths = [file.relative_to(root).as_posix() for file in files]

    def read() -> Iterator[SourceRow]:
        for path, file in zip(paths, files):
            stored = {"bytes": None, "path": str(file)}
            yield SourceRow(path, path, stored, {LABEL_COLUMN: label_of(file, root)})

    content = "\n".join(f"{path}\t{_size(file)}" for path, file in zip(paths, files))
    return SourceShard(name, digest_of(content), read, len(files))


def _size(file: Path) -> int:
    """Return the bytes of a file, -1 of a link that leads nowhere: its image will be listed as a bad one."""
    return file.stat().st_size if file.exists() else -1
