"""Python values as JSON, which has no NaN and no infinity: both become null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .atomic_writes import write_text

if TYPE_CHECKING:
    from os import PathLike


def json_values(content: Any) -> Any:
    """Return a copy in which NaN and infinite numbers are `None`, mappings are dicts and sequences are lists.

    Example:
        >>> json_values({"map": float("nan"), "threshold": -float("inf"), "ks": (1, 10)})
        {'map': None, 'threshold': None, 'ks': [1, 10]}
    """
    if isinstance(content, Mapping):
        return {name: json_values(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [json_values(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def json_text(content: Any, *, indent: int | None = None, default: Any = None) -> str:
    """Return JSON text, with NaN and infinite numbers as null and other scripts as they are.

    Args:
        content: JSON values, mappings and sequences of them.
        indent: Spaces a level; `None`: all on one line.
        default: Called with what is no JSON value, as for `json.dumps`.

    Raises:
        TypeError: Something is no JSON value.
    """
    return json.dumps(json_values(content), indent=indent, allow_nan=False, ensure_ascii=False, default=default)


def write_json(path: str | PathLike[str], content: Any, *, indent: int | None = 2) -> Path:
    """Write a JSON file, whole or not at all; folders above it are made.

    Returns:
        The path.

    Raises:
        TypeError: Something is no JSON value; what was there before stays.
    """
    path = Path(path).expanduser()
    text = json_text(content, indent=indent)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, text + "\n")
    return path


def read_json(path: str | PathLike[str]) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not JSON; the message names the file.
    """
    path = Path(path).expanduser()
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError are of this kind
        raise ValueError(f"expected JSON in {path}: {error}") from error


def read_fields(path: str | PathLike[str], fields: Sequence[str]) -> dict[str, Any]:
    """Read a JSON file that must hold an object with exactly these fields.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not JSON, or has other fields; the message names the file.
    """
    return check_fields(read_json(path), fields, path)


def check_fields(content: Any, fields: Sequence[str], path: str | PathLike[str]) -> dict[str, Any]:
    """Return the content of a file if it is an object with exactly these fields.

    Raises:
        ValueError: It is not; the message names the file.
    """
    if not isinstance(content, dict) or set(content) != set(fields):
        received = ", ".join(content) if isinstance(content, dict) else type(content).__name__
        raise ValueError(f"expected the fields {', '.join(fields)} in {path}; got {received}: another kind of file")
    return content


def null_as_nan(numbers: Mapping[str, float | int | None]) -> dict[str, Any]:
    """Return a copy in which `None` is NaN again.

    Example:
        >>> null_as_nan({"mrr": None, "num_queries": 3})
        {'mrr': nan, 'num_queries': 3}
    """
    return {name: math.nan if value is None else value for name, value in numbers.items()}
