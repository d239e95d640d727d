"""Write a shard of embeddings. Its file gets its name when it is complete, and also holds the list of bad images."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.catalogue.left_out import LeftOut
from ..files.atomic_writes import whole_file
from .prefetching import BadImage
from .shards import EMBEDDING_COLUMN, ID_COLUMN, PATH_COLUMN, ROWS_AT_ONCE, ids_path
from .stored_values import to_stored

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pyarrow as pa

    from .sources.source import SourceRow

BAD_IMAGES_KEY = "bad_images"  # in the metadata of the Parquet file, as JSON
LEFT_OUT_KEY = "left_out"  # the same, if files of an archive are not used


def shard_path(folder: Path, number: int, file_format: str) -> Path:
    """Return the file of a shard."""
    return folder / f"embeddings-{number:05d}.{file_format}"


class ShardWriter:
    """Writes rows and vectors in groups, so that few of them are in memory.

    Args:
        writer: Writer of the Parquet file.
        dim: Length of a vector.
        dtype: Data type in which the vectors are stored.
        apart: List that collects the vectors for a separate file; `None`: they are written to the Parquet file.
    """

    def __init__(self, writer: pa.parquet.ParquetWriter, dim: int, dtype: str, apart: list[np.ndarray] | None) -> None:
        self._writer, self._dim, self._dtype, self._apart = writer, dim, dtype, apart
        self._rows: list[SourceRow] = []
        self._stored: list[np.ndarray] = []
        self._bad: list[BadImage] = []

    def write(self, rows: Sequence[SourceRow], embeddings: np.ndarray, bad: Sequence[BadImage]) -> None:
        """Write rows, their embeddings, `(len(rows), dim)` float32, and the images that could not be read."""
        self._rows += rows
        self._stored.append(to_stored(embeddings, self._dtype))
        self._bad += bad
        if len(self._rows) >= ROWS_AT_ONCE:
            self._write_group()

    def leave_out(self, left_out: LeftOut) -> None:
        """Note the files of an archive that are not used."""
        if left_out.counts:
            self._writer.add_key_value_metadata({LEFT_OUT_KEY: json.dumps(left_out.to_json(), ensure_ascii=False)})

    def finish(self) -> None:
        """Write the last rows and the list of bad images."""
        self._write_group()
        notes = json.dumps([asdict(one) for one in self._bad], ensure_ascii=False)
        self._writer.add_key_value_metadata({BAD_IMAGES_KEY: notes})

    def _write_group(self) -> None:
        import pyarrow as pa

        if not self._rows:
            return
        stored = np.concatenate(self._stored)  # (rows, dim)
        columns: list[Any] = []
        for field in self._writer.schema:
            if field.name == EMBEDDING_COLUMN:
                columns.append(pa.FixedSizeListArray.from_arrays(pa.array(stored.reshape(-1)), self._dim))
            elif field.name in (ID_COLUMN, PATH_COLUMN):
                columns.append(pa.array([getattr(row, field.name) for row in self._rows], field.type))
            else:
                columns.append(pa.array([row.columns[field.name] for row in self._rows], field.type))
        if self._apart is not None:
            self._apart.append(stored)
        table = pa.table(columns, schema=self._writer.schema)
        self._writer.write_table(table, row_group_size=len(self._rows))
        self._rows, self._stored = [], []


@contextmanager
def open_shard(path: Path, columns: pa.Schema, dim: int, dtype: str) -> Iterator[ShardWriter]:
    """Return a context with a writer of one shard, whose files get their names when the context ends without an error.

    Args:
        path: Path of the shard, from `shard_path`. The vectors of a `.npy` file are in memory until the end.
        columns: Metadata columns of the source, without ids and paths.
        dim: Length of a vector.
        dtype: Data type in which the vectors are stored.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    apart: list[np.ndarray] | None = [np.empty((0, dim), dtype)] if path.suffix == ".npy" else None
    table_path = path if apart is None else ids_path(path)
    fields = [pa.field(ID_COLUMN, pa.string()), pa.field(PATH_COLUMN, pa.string())]
    if apart is None:
        value = pa.from_numpy_dtype(np.dtype(dtype))
        fields.append(pa.field(EMBEDDING_COLUMN, pa.list_(pa.field("element", value, nullable=False), dim)))
    schema = pa.schema([*fields, *columns])
    # Vectors do not compress, and all are different; ids, paths and classes compress well.
    texts = [field.name for field in schema if field.name != EMBEDDING_COLUMN]
    compression: Any = dict.fromkeys(texts, "zstd") | (
        {f"{EMBEDDING_COLUMN}.list.element": "none"} if apart is None else {}
    )
    with (
        whole_file(table_path) as partial,
        pq.ParquetWriter(partial, schema, compression=compression, use_dictionary=texts) as writer,
    ):
        shard = ShardWriter(writer, dim, dtype, apart)
        yield shard
        shard.finish()
    if apart is not None:  # last, so that a reader that finds the vectors also finds their ids
        with whole_file(path) as partial, partial.open("wb") as stream:
            np.save(stream, np.concatenate(apart), allow_pickle=False)


def read_notes(path: Path) -> tuple[int, list[BadImage]]:
    """Return the number of rows of a finished shard, and its bad images."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path if path.suffix == ".parquet" else ids_path(path))
    bad = json.loads(metadata.metadata[BAD_IMAGES_KEY.encode()])
    return metadata.num_rows, [BadImage(**one) for one in bad]


def read_left_out(path: Path) -> LeftOut:
    """Return the files of an archive that are not used in its finished shard."""
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path if path.suffix == ".parquet" else ids_path(path))
    return LeftOut.from_json(json.loads(metadata.metadata.get(LEFT_OUT_KEY.encode(), b"[]")))
