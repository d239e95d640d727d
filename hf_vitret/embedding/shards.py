"""`EmbeddingFolder`: read a folder of embeddings of any size, with a few thousand rows in memory at a time."""

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
# Number of rows that a reader or a writer has in memory: 6 MB of float32 at 384 dimensions.
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class EmbeddingShard:
    """Rows of a folder of embeddings: a shard, or the part of it that is read at once.

    Attributes:
        name: Name of the file of the shard.
        embeddings: `(rows, dim)` float32, for every stored data type.
        table: `image_id`, `path` and the metadata columns, one row per embedding.
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
    """A folder of embeddings that `write_embeddings` or `hf-vitret embed` wrote.

    Args:
        folder: Path of the folder.

    Attributes:
        folder: Path of the folder.
        manifest: Its manifest, which names the model, the data type and the shards.

    Raises:
        FileNotFoundError: The folder is not a folder of embeddings, or is not finished.
        ValueError: Another version of this package wrote the folder, or its manifest is damaged.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.folder = Path(folder)
        self.manifest = EmbeddingManifest.load(folder)

    @property
    def num_images(self) -> int:
        """Number of images in all shards."""
        return self.manifest.num_images

    @property
    def dim(self) -> int:
        """Length of a vector."""
        return self.manifest.dim

    @property
    def locations(self) -> dict[str, str]:
        """Absolute paths of the folders of the `"model"` and the `"images"`, if they were on this machine.

        Raises:
            ValueError: `locations.json` is damaged.
        """
        return read_locations(self.folder)

    def shards(self) -> Iterator[EmbeddingShard]:
        """Yield all rows in order, 1 to `ROWS_AT_ONCE` at a time.

        Yields:
            A shard or a part of a shard.

        Raises:
            FileNotFoundError: The file of a shard is missing.
            ValueError: The number of rows or the columns of a shard are not those in the manifest.
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
        """Check that the checksum of each shard is that in the manifest, which reads all files.

        Raises:
            FileNotFoundError: The file of a shard is missing.
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
            raise FileNotFoundError(f"{path} is missing, and the manifest names it: copy it again, or embed again")
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
    """Return the file with the ids of an `embeddings-00000.npy`: `ids-00000.parquet` in the same folder."""
    return embeddings.with_name(embeddings.name.replace("embeddings", "ids", 1)).with_suffix(".parquet")


def _row_groups(file: pa.parquet.ParquetFile) -> Iterator[pa.Table]:
    for number in range(file.num_row_groups):
        table = file.read_row_group(number)
        for first in range(0, len(table), ROWS_AT_ONCE):
            yield table.slice(first, ROWS_AT_ONCE)


def _changed(path: Path) -> str:
    return f"{path} is not what it was when it was written: copy it again from its source, or embed again"
