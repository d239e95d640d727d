"""A split as Parquet files, each finished before the next one is begun; with the features that `datasets` reads."""

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
# Rows that a reader of one row has to fetch, and a writer has to hold; what `datasets` itself gives image columns.
ROW_GROUP_SIZE = 100
FINAL_NAMES = "{split}-{number:05d}-of-{count:05d}.parquet"  # the Hub's layout


@contextmanager
def parquet_shard(path: Path, features: Features) -> Iterator[pq.ParquetWriter]:
    """Give a writer of one shard; the file has its name once the block has ended well.

    Images are compressed already: the pages are not. They are cut where the content says, so that the Hub's storage
    knows again what it has when a shard changes in part.
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
    """Write rows as one row group."""
    import pyarrow as pa

    columns = [pa.array([row[field.name] for row in rows], field.type) for field in writer.schema]
    writer.write_table(pa.table(columns, schema=writer.schema), row_group_size=len(rows))


def find_shard(folder: Path, split: str, number: int) -> Path | None:
    """Return the finished shard of this number, under its first name or its final one."""
    found = [*folder.glob(f"{split}-{number:05d}.parquet"), *folder.glob(f"{split}-{number:05d}-of-*.parquet")]
    return found[0] if found else None


def find_shards(folder: Path, split: str) -> list[Path]:
    """List the finished shards of a split in their order."""
    shards: list[Path] = []
    while (shard := find_shard(folder, split, len(shards))) is not None:
        shards.append(shard)
    return shards


def name_shards(folder: Path, split: str) -> list[Path]:
    """Give the shards of a split, all finished, the names that say how many there are."""
    shards = find_shards(folder, split)
    named = []
    for number, shard in enumerate(shards):
        name = FINAL_NAMES.format(split=split, number=number, count=len(shards))
        named.append(shard if shard.name == name else shard.rename(folder / name))
    return named


def read_column(shards: list[Path], column: str) -> list[Any]:
    """Read one column of a split, and no other."""
    import pyarrow.parquet as pq

    return [value for shard in shards for value in pq.read_table(shard, columns=[column])[column].to_pylist()]
