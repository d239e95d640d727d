"""Read a folder of embeddings, a part of a shard at a time: no more is in memory, however many there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..files.checksums import sha256_of
from .locations import read_locations
from .manifest import EmbeddingManifest, ShardFacts
from .stored_values import from_stored

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    import pyarrow as pa

ID_COLUMN, PATH_COLUMN, EMBEDDING_COLUMN = "image_id", "path", "embedding"
# Rows that a reader and a writer hold at once: 6 MB of float32 at 384 dimensions.
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class EmbeddingShard:
    """Rows of a folder of embeddings: a shard, or as much of it as is read at once.

    Attributes:
        name: File of the shard.
        embeddings: `(rows, dim)` float32, whatever they are stored as.
        table: `image_id`, `path` and the columns taken along from the input, row by row as the embeddings.
    """

    name: str
    embeddings: np.ndarray
    table: pa.Table

    @property
    def ids(self) -> list[str]:
        """The `image_id` of each row."""
        ids: list[str] = self.table[ID_COLUMN].to_pylist()
        return ids


class EmbeddingFolder:
    """A folder that `write_embeddings` or `hf-vitret embed` has written.

    Args:
        folder: Its path.

    Attributes:
        folder: The same.
        manifest: What it says of itself.

    Raises:
        FileNotFoundError: It is none, or is not finished.
        ValueError: It was written by another version, or is damaged.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        self.manifest = EmbeddingManifest.load(folder)

    @property
    def num_images(self) -> int:
        """Rows of all shards together."""
        return self.manifest.num_images

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.manifest.dim

    @property
    def locations(self) -> dict[str, str]:
        """Absolute paths of the `"model"` and the `"images"` when these were embedded; without what was not here.

        Raises:
            ValueError: The file with them is damaged.
        """
        return read_locations(self.folder)

    def shards(self) -> Iterator[EmbeddingShard]:
        """Yield all rows in order, at most `ROWS_AT_ONCE` at a time; never an empty part.

        Raises:
            FileNotFoundError: A shard is not there.
            ValueError: A shard has another number of rows, or other columns, than the manifest says.
        """
        for facts in self.manifest.shards:
            num_rows = 0
            for shard in self._read(facts):
                num_rows += len(shard.embeddings)
                if shard.embeddings.shape[1] != self.dim or len(shard.table) != len(shard.embeddings):
                    raise ValueError(_changed(self.folder / facts.name))
                if len(shard.embeddings):
                    yield shard
            if num_rows != facts.num_rows:
                raise ValueError(_changed(self.folder / facts.name))

    def check_files(self) -> None:
        """Check that each shard is there, and is what it was when it was written; reads all of them.

        Raises:
            FileNotFoundError: A shard is not there.
            ValueError: A shard has changed.
        """
        for facts in self.manifest.shards:
            path = self._path(facts)
            if sha256_of(path) != facts.sha256:
                raise ValueError(_changed(path))
            if facts.ids_sha256 is not None and sha256_of(ids_path(path)) != facts.ids_sha256:
                raise ValueError(_changed(ids_path(path)))

    def _path(self, facts: ShardFacts) -> Path:
        path = self.folder / facts.name
        if path.parent != self.folder or not path.is_file():
            raise FileNotFoundError(f"{path} is not there, but is in the manifest: copy it, or embed again")
        return path

    def _read(self, facts: ShardFacts) -> Iterator[EmbeddingShard]:
        import pyarrow.parquet as pq

        path, scale = self._path(facts), self.manifest.scale
        if path.suffix == ".npy":
            stored = np.load(path, mmap_mode="r", allow_pickle=False)  # (rows, dim)
            first = 0
            with pq.ParquetFile(ids_path(path)) as file:
                for table in _row_groups(file):
                    part = stored[first : first + len(table)]
                    first += len(table)
                    yield EmbeddingShard(facts.name, from_stored(part, scale), table)
            return
        with pq.ParquetFile(path) as file:
            for table in _row_groups(file):
                values = table[EMBEDDING_COLUMN].combine_chunks()
                stored = values.flatten().to_numpy().reshape(len(table), -1)
                yield EmbeddingShard(facts.name, from_stored(stored, scale), table.drop_columns([EMBEDDING_COLUMN]))


def ids_path(embeddings: Path) -> Path:
    """Return where the ids of an `embeddings-00000.npy` are: `ids-00000.parquet`, beside it."""
    return embeddings.with_name(embeddings.name.replace("embeddings", "ids", 1)).with_suffix(".parquet")


def _row_groups(file: pa.parquet.ParquetFile) -> Iterator[pa.Table]:
    for number in range(file.num_row_groups):
        table = file.read_row_group(number)
        for first in range(0, len(table), ROWS_AT_ONCE):
            yield table.slice(first, ROWS_AT_ONCE)


def _changed(path: Path) -> str:
    return f"{path} is not what it was when it was written: copy it again from where it came from, or embed again"
