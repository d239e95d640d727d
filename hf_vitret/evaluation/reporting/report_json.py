"""The parts of a report for programs: JSON, in which nan is null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from ...files.atomic_writes import write_whole


def write_json(path: str | PathLike[str], content: Mapping[str, Any]) -> Path:
    """Write JSON, aside and renamed, in a folder that is made where there is none.

    Raises:
        TypeError: Something in it is no JSON value; what was there before stays.
    """
    path = Path(path).expanduser()
    text = json.dumps(_not_nan(content), indent=2, allow_nan=False, ensure_ascii=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text + "\n")
    return path


def read_json(path: str | PathLike[str], fields: Sequence[str]) -> Mapping[str, Any]:
    """Read JSON that must be an object with these fields.

    Raises:
        ValueError: It is not.
    """
    path = Path(path).expanduser()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"expected JSON in {path}: {error}") from error
    return check_fields(content, fields, path)


def check_fields(content: Any, fields: Sequence[str], path: str | PathLike[str]) -> Mapping[str, Any]:
    """Return what was read from a file if it is an object with these fields.

    Raises:
        ValueError: It is not.
    """
    if not isinstance(content, dict) or set(content) != set(fields):
        received = ", ".join(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"expected the fields {', '.join(fields)} in {path}; got {received}: another kind of file")
    return content


def not_null(numbers: Mapping[str, float | int | None]) -> dict[str, Any]:
    """Read null as nan.

    Example:
        >>> not_null({"mrr": None, "num_queries": 3})
        {'mrr': nan, 'num_queries': 3}
    """
    return {name: math.nan if value is None else value for name, value in numbers.items()}


def _not_nan(content: Any) -> Any:
    """Replace nan, which JSON does not have, by None."""
    if isinstance(content, Mapping):
        return {name: _not_nan(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_not_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content
