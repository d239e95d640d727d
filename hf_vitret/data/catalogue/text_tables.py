"""Read a table that is a text file, CSV, TSV or JSON Lines, into Arrow; an error names the file and the row."""

from __future__ import annotations

import csv
import json
from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..schema import name_some

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import TextIO

    import pyarrow as pa

TEXT_SUFFIXES = (".csv", ".tsv", ".jsonl")
TABLE_SUFFIXES = (*TEXT_SUFFIXES, ".parquet")
_DELIMITERS = {",": "a comma", ";": "a semicolon (;)", "\t": "a tab", "|": "a bar (|)"}
# Rows that are Python objects at one time: the rest of a table of millions of rows is in Arrow, a tenth of the size.
_ROWS_AT_ONCE = 2**16


def read_text_table(table: Path) -> pa.Table:
    """Read a CSV, TSV or JSON Lines file in UTF-8, with or without a byte order mark.

    All columns of a CSV or TSV file are text: a class `007` stays `007`, and `None` is a text; an empty cell is null.
    A line of a JSON Lines file is an object. Its values keep their JSON types; a key that a line lacks is null there,
    and so is an empty text. Empty lines are left out of both.

    Args:
        table: The file; its suffix is one of `TEXT_SUFFIXES`, in upper or lower case.

    Returns:
        The table, with the columns in the order in which they first occur.

    Raises:
        OSError: The file cannot be opened.
        ValueError: The file is not UTF-8, or not CSV or JSON; two columns have one name; a row has more or fewer cells
            than the header; the header has another delimiter; a line is no object; values of one column have types that
            do not go together. Rows are counted from 0, without the header; lines from 1.
    """
    with table.open(encoding="utf-8-sig", newline="") as stream:  # "-sig": Excel starts a CSV file with the mark
        return _read_json(table, stream) if table.suffix.lower() == ".jsonl" else _read_csv(table, stream)


def _read_csv(table: Path, stream: TextIO) -> pa.Table:
    """Read a CSV file with a header, or one with tabs."""
    import pyarrow as pa

    delimiter = "\t" if table.suffix.lower() == ".tsv" else ","
    reader = csv.reader(stream, delimiter=delimiter, strict=True)
    rows = (cells for cells in reader if cells)
    try:
        names = next(rows, [])
        if not names:
            raise ValueError(f"{table}: expected a header with the names of the columns; the file is empty")
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"{table}: these columns are there more than once: {name_some(repeated)}; rename them")
        _check_delimiter(table, names, delimiter)
        schema = pa.schema([(name, pa.string()) for name in names])
        parts, uneven, first = [], [], 0
        while some := list(islice(rows, _ROWS_AT_ONCE)):
            uneven += [row for row, cells in enumerate(some, first) if len(cells) != len(names)]
            if not uneven:
                columns = [[cell or None for cell in column] for column in zip(*some, strict=True)]
                parts.append(pa.Table.from_arrays([pa.array(column, pa.string()) for column in columns], schema=schema))
            first += len(some)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{table}, after line {reader.line_num}: not CSV in UTF-8 ({error})") from error
    if uneven:
        raise ValueError(f"{table}: rows {name_some(uneven)} have not as many cells as the header: {len(names)}")
    return pa.concat_tables(parts) if parts else schema.empty_table()


def _check_delimiter(table: Path, names: list[str], delimiter: str) -> None:
    """Refuse a header of one cell that has another delimiter in it."""
    others = [other for other in (";", "\t", "|", ",") if other != delimiter and other in names[0]]
    if len(names) == 1 and others:
        raise ValueError(
            f"{table}: expected columns divided by {_DELIMITERS[delimiter]}; the header is one cell, "
            f"{names[0][:80]!r}: the delimiter looks like {_DELIMITERS[others[0]]}. Write the table with commas, "
            "or as .tsv with tabs"
        )


def _read_json(table: Path, stream: TextIO) -> pa.Table:
    """Read a file with one JSON object a line."""
    import pyarrow as pa

    lines: list[int] = []  # the line of each row
    columns: dict[str, list[Any]] = {}
    for line, row in _objects(table, stream):
        for name in row:
            if name not in columns:
                columns[name] = [None] * len(lines)
        for name, values in columns.items():
            value = row.get(name)
            values.append(None if value == "" else value)
        lines.append(line)
    if not columns:
        raise ValueError(f"{table}: expected one JSON object a line; the file has none")
    return pa.table({name: _to_arrow(table, name, values, lines) for name, values in columns.items()})


def _objects(table: Path, stream: TextIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each object of a JSON Lines file with the number of its line, from 1 on."""
    line = 0
    while True:
        try:
            text = stream.readline()
        except UnicodeDecodeError as error:
            raise ValueError(f"{table}, after line {line}: not JSON in UTF-8 ({error})") from error
        if not text:
            return
        line += 1
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:  # RecursionError: thousands of brackets
            raise ValueError(f"{table}, line {line}: not JSON ({error})") from error
        if not isinstance(row, dict):
            raise ValueError(
                f"{table}, line {line}: expected a JSON object with the columns as keys; got {text.strip()[:80]}"
            )
        yield line, row


def _to_arrow(table: Path, name: str, values: list[Any], lines: list[int]) -> pa.Array:
    """Give the values of a column their common type, or name the first line that does not fit the lines before it."""
    import pyarrow as pa

    refusals = (
        pa.ArrowException,
        OverflowError,
        UnicodeEncodeError,
    )  # mixed types, over 64 bits, half a surrogate pair

    def fails(num_rows: int) -> bool:
        try:
            pa.array(values[:num_rows])
        except refusals:
            return True
        return False

    try:
        return pa.array(values)
    except refusals as error:
        row = bisect_left(range(len(values) + 1), True, key=fails) - 1
        raise ValueError(
            f"{table}, line {lines[row]}: column {name!r} is {json.dumps(values[row])[:80]}, which does not go with "
            f"the lines before it ({error}); give all lines values of one type"
        ) from error
