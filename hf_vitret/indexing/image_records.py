"""`ImageRecords`: the id and the metadata of the image at each position of an index, and whether it was removed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

ID_COLUMN = "image_id"
REMOVED_COLUMN = "_removed"
# Up to this number, string ids are kept as objects after their first use: they take 80 bytes each, and a look-up is
# five times as fast as in an Arrow column, where it takes a quarter of the time of a search of one query in a small
# graph.
_MAX_OBJECTS = 2_000_000


class ImageRecords:
    """A table of images, with one row per position.

    Args:
        table: `image_id`, int64 or strings, and any metadata columns.
        is_removed: `(num_rows,)` bool. None: no image was removed.
    """

    _lookup: np.ndarray | None

    def __init__(self, table: pa.Table, is_removed: np.ndarray | None = None) -> None:
        self._table: pa.Table | None = table
        self._file: Any = None
        self.is_removed = np.zeros(len(table), dtype=bool) if is_removed is None else is_removed
        self.num_removed = int(self.is_removed.sum())
        self._keep_ids(table[ID_COLUMN])

    @classmethod
    def load(cls, path: Path) -> ImageRecords:
        """Read the ids that `save` wrote. The metadata is read at its first use."""
        import pyarrow.parquet as pq

        file = pq.ParquetFile(path)  # kept open, so that it stays readable when another index replaces this one
        table = file.read(columns=[ID_COLUMN, REMOVED_COLUMN])
        removed = table[REMOVED_COLUMN].to_numpy()
        records = cls(table.select([ID_COLUMN]), np.array(removed, dtype=bool))
        records._table, records._file = None, file
        return records

    def save(self, path: Path) -> None:
        """Write a Parquet file."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(self.table.append_column(REMOVED_COLUMN, pa.array(self.is_removed)), path)

    @property
    def table(self) -> pa.Table:
        """All columns, with the rows of removed images."""
        if self._table is None:
            self._table = self._file.read().drop_columns([REMOVED_COLUMN])
        return self._table

    @property
    def has_string_ids(self) -> bool:
        """Whether the ids are strings and not integers."""
        return self._numbers is None

    def __len__(self) -> int:
        return len(self.is_removed)

    def ids_at(self, positions: np.ndarray) -> np.ndarray:
        """Return the ids at some positions, as an array of the same shape.

        Returns:
            int64, with -1 for the position -1; or string objects, with None for the position -1.
        """
        if self._lookup is None and self.has_string_ids and len(self._texts) > _MAX_OBJECTS:
            import pyarrow as pa

            flat = positions.ravel()
            texts: np.ndarray = self._texts.take(pa.array(flat, mask=flat < 0)).to_numpy(zero_copy_only=False)
            return texts.astype(object, copy=False).reshape(positions.shape)
        if self._lookup is None:
            self._lookup = np.append(self._texts.to_numpy(zero_copy_only=False), [None])
        found: np.ndarray = self._lookup[positions]  # position -1 is the last entry, which stands for no image
        return found

    def positions_of(self, ids: Sequence[Any] | np.ndarray) -> np.ndarray:
        """Return the positions of some ids, int64; -1 for an id that is not in the index or was removed.

        Raises:
            TypeError: The ids are strings and those of the index are integers, or the reverse.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        wanted = ids_column(ids)
        if pa.types.is_integer(wanted.type) == self.has_string_ids:
            kinds = ("strings", "integers") if self.has_string_ids else ("integers", "strings")
            raise TypeError(f"expected ids that are {kinds[0]}, like those of the index; got {kinds[1]}")
        present = np.flatnonzero(~self.is_removed)
        known = pa.array(self._numbers) if self._numbers is not None else self._texts
        if self.num_removed:
            known = known.take(pa.array(present))
        found = pc.index_in(wanted, value_set=known).fill_null(-1).to_numpy(zero_copy_only=False)
        return np.where(found >= 0, present[found], -1) if len(present) else np.full(len(wanted), -1)

    def check_new(self, table: pa.Table) -> None:
        """Check that new rows have the columns of the index, and ids that are not in it.

        Raises:
            ValueError: The columns differ, or an id is in the index already or occurs twice.
            TypeError: The ids are strings and those of the index are integers, or the reverse.
        """
        if set(table.column_names) != set(self.table.column_names):
            raise ValueError(
                f"expected the columns of the index, {', '.join(self.table.column_names)}; got "
                f"{', '.join(table.column_names)}"
            )
        check_unique(table[ID_COLUMN])
        is_known = self.positions_of(table[ID_COLUMN]) >= 0
        if is_known.any():
            some = table[ID_COLUMN].to_numpy()[is_known][:5].tolist()
            raise ValueError(f"already in the index: {', '.join(map(str, some))}; remove them first, or leave them out")

    def append(self, table: pa.Table) -> None:
        """Append rows that `check_new` has accepted."""
        import pyarrow as pa

        self._table = pa.concat_tables([self.table, table.select(self.table.column_names).cast(self.table.schema)])
        self.is_removed = np.concatenate([self.is_removed, np.zeros(len(table), dtype=bool)])
        self._keep_ids(self._table[ID_COLUMN])

    def remove(self, positions: np.ndarray) -> None:
        """Mark the images at some positions as removed."""
        self.is_removed[positions] = True
        self.num_removed = int(self.is_removed.sum())

    def rows(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """Return the rows at some positions as dictionaries."""
        import pyarrow as pa

        rows: list[dict[str, Any]] = self.table.take(pa.array(positions, pa.int64())).to_pylist()
        return rows

    def _keep_ids(self, column: pa.ChunkedArray) -> None:
        import pyarrow as pa

        one = column.combine_chunks()
        is_number = pa.types.is_integer(one.type)
        self._lookup = np.append(one.to_numpy(), -1) if is_number else None
        self._numbers: np.ndarray | None = None if self._lookup is None else self._lookup[:-1]
        self._texts: Any = None if is_number else one


def ids_column(ids: Sequence[Any] | np.ndarray | pa.Array) -> pa.Array:
    """Convert ids to a column of int64 or of strings.

    Raises:
        TypeError: The ids are not all integers or all strings.
        ValueError: An id is missing or negative.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if isinstance(ids, (pa.Array, pa.ChunkedArray)):
        column = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    else:
        given = ids.tolist() if hasattr(ids, "tolist") else list(ids)
        if any(isinstance(each, bool) for each in given):
            raise TypeError("expected ids that are all integers or all strings; got bool")
        try:
            column = pa.array(given)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise TypeError(f"expected ids that are all integers or all strings; got a mixture: {error}") from error
    if not len(column):
        return column.cast(pa.string()) if pa.types.is_null(column.type) else column
    if column.null_count:
        raise ValueError(f"expected an id for each image; {column.null_count} are missing")
    if pa.types.is_integer(column.type):
        column = column.cast(pa.int64())
        if pc.min(column).as_py() < 0:
            raise ValueError(
                f"expected integer ids of at least 0; got {pc.min(column).as_py()}: -1 stands for no image"
            )
        return column
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column.cast(pa.large_string())  # 32-bit offsets end at 2 GiB of ids
    raise TypeError(f"expected ids that are all integers or all strings; got {column.type}")


def check_unique(ids: pa.Array | pa.ChunkedArray) -> None:
    """Check that each id occurs once.

    Raises:
        ValueError: An id occurs twice; the message names some.
    """
    import pyarrow.compute as pc

    if pc.count_distinct(ids).as_py() == len(ids):
        return
    counts = ids.value_counts().to_pylist()
    twice = [str(each["values"]) for each in counts if each["counts"] > 1][:5]
    raise ValueError(f"expected each id once; more than once came {', '.join(twice)}: use the path as the id")
