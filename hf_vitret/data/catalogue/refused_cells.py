"""Refuse the columns of a table that hold no names of files: images as base64 text, and addresses."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from .allowed_paths import name_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
# The first characters of an encoded JPEG, PNG, GIF or WebP in base64.
_BASE64 = ("/9j/", "iVBORw0KGgo", "R0lGOD", "UklGR")
_LONGEST_PATH = 255  # a longer text with such a beginning is no path
_INPUT_FORMATS = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".parquet": "parquet"}  # of img2dataset


def refuse_base64(cells: Sequence[Any], table: Path, image_column: str) -> None:
    """Refuse a column of images as base64 text, without printing them.

    Raises:
        ValueError: There is such a cell. The message counts them and names the row of the first.
    """
    rows = [
        row
        for row, cell in enumerate(cells)
        if isinstance(cell, str)
        and (cell.startswith("data:") or (len(cell) > _LONGEST_PATH and cell.startswith(_BASE64)))
    ]
    if rows:
        raise ValueError(
            f"{table}: expected paths in column {image_column!r}; {len(rows)} of {len(cells)} rows hold an image as "
            f"base64 text: {name_rows(((row, cells[row][:20] + '...') for row in rows[:1]), 1)}. Decode them with "
            "base64.b64decode, and write them as files, or as bytes into a Parquet file"
        )


def refuse_addresses(cells: Sequence[Any], table: Path, image_column: str) -> None:
    """Refuse a column of addresses; the message has the command that fetches them.

    Raises:
        ValueError: There is such a cell. The message counts them and names the first ten.
    """
    found = [
        (row, cell)
        for row, cell in enumerate(cells)
        if isinstance(cell, str) and ADDRESS.match(cell) and not cell.lower().startswith("file://")
    ]
    if not found:
        return
    kind, folder = _INPUT_FORMATS[table.suffix.lower()], f"{table.stem}_images"
    command = ["img2dataset", "--url_list", str(table), "--input_format", kind, "--url_col", image_column]
    command += ["--output_format", "parquet", "--output_folder", folder, "--resize_mode", "keep_ratio"]
    command += ["--resize_only_if_bigger", "True", "--image_size", "512"]
    raise ValueError(
        f"{table}: expected paths in column {image_column!r}; {len(found)} of {len(cells)} rows hold an address: "
        f"{name_rows(found, len(found))}. Fetch the images first (pip install img2dataset):\n  {shlex.join(command)} "
        "--save_additional_columns '[\"label\"]'\nwith the column of the classes in place of label; then read the "
        f"folder {folder} with --image_column jpg"
    )
