"""Write a split as Parquet files, one after the other, with the features that `datasets` reads."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...files.atomic_writes import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow.parquet as pq
    from datasets import Features

DATA_FOLDER = "data"
# A reader of one row fetches a whole row group, and a writer holds it. `datasets` uses this size for image columns.
ROW_GROUP_SIZE = 100
FINAL_NAMES = "{split}-{number:05d}-of-{count:05d}.parquet"  # the naming scheme of the Hub


@contextmanager
def parquet_shard(path: Path, features: Features) -> Iterator[pq.ParquetWriter]:
    """Yield the writer of one shard. The file gets its name when the block ends without an exception.

    Pages are not compressed, because the images already are. Their boundaries follow from the content, so that the
    storage of the Hub recognises unchanged parts of a shard.

    Args:
        path: The file to write.
        features: The features of the columns.

    Yields:
        The writer, for `write_group`.
    """
    import pyarrow.parquet as pq

    schema = features.arrow_schema
    with (
        whole_file(path) as partial,
        pq.ParquetWriter(
            partial,
            schema,
            compression="none",
            use_dictionary=["label"],
            write_page_index=True,
            use_content_defined_chunking=True,
        ) as writer,
    ):
        yield writer


def write_group(writer: pq.ParquetWriter, rows: list[dict[str, Any]]) -> None:
    """Write rows, each with all columns of the writer, as one row group."""
    import pyarrow as pa

    columns = [pa.array([row[field.name] for row in rows], field.type) for field in writer.schema]
    writer.write_table(pa.table(columns, schema=writer.schema), row_group_size=len(rows))


def find_shard(folder: Path, split: str, number: int) -> Path | None:
    """Return the finished shard of this number, under its first or final name; `None` if there is none."""
    found = [*folder.glob(f"{split}-{number:05d}.parquet"), *folder.glob(f"{split}-{number:05d}-of-*.parquet")]
    return found[0] if found else None


def find_shards(folder: Path, split: str) -> list[Path]:
    """List the finished shards of a split, in order."""
    shards: list[Path] = []
    while (shard := find_shard(folder, split, len(shards))) is not None:
        shards.append(shard)
    return shards


def name_shards(folder: Path, split: str) -> list[Path]:
    """Rename the shards of a split to their final names, which contain their number.

    Args:
        folder: The folder of the shards, all of which are finished.
        split: Name of the split.

    Returns:
        The renamed shards, in order.
    """
    shards = find_shards(folder, split)
    named = []
    for number, shard in enumerate(shards):
        name = FINAL_NAMES.format(split=split, number=number, count=len(shards))
        named.append(shard if shard.name == name else shard.rename(folder / name))
    return named


def read_column(shards: list[Path], column: str) -> list[Any]:
    """Read one column of all shards, without reading the other columns."""
    import pyarrow.parquet as pq

    return [value for shard in shards for value in pq.read_table(shard, columns=[column])[column].to_pylist()]
