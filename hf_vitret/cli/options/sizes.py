"""Sizes of memory and files with their unit: `2GiB`, `500MB`."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError

UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*")


def size(text: str) -> int:
    """Parse a size in bytes; the type of an option.

    Args:
        text: A number and its unit: B, KB, MB, GB, TB (powers of 1,000) or KiB, MiB, GiB, TiB (powers of 1,024), in any
            case.

    Returns:
        Bytes.

    Raises:
        ArgumentTypeError: The text is not a positive number with a unit.

    Example:
        >>> size("2GiB"), size("500MB"), size("1.5 kib")
        (2147483648, 500000000, 1536)
    """
    found = _SIZE.fullmatch(text)
    if found is None or found[2].upper() not in UNITS:
        raise ArgumentTypeError(f"expected a size with its unit, such as 2GiB or 500MB; got {text!r}")
    num_bytes = round(float(found[1]) * UNITS[found[2].upper()])
    if num_bytes < 1:
        raise ArgumentTypeError(f"expected a size of at least one byte; got {text!r}")
    return num_bytes


def size_text(num_bytes: int) -> str:
    """Format a size so that `size` parses the same number.

    Example:
        >>> size_text(2147483648), size_text(500_000_000), size_text(1_234_567)
        ('2GiB', '500MB', '1234567B')
    """
    for unit in ("TiB", "TB", "GiB", "GB", "MiB", "MB", "KiB", "KB"):
        whole, rest = divmod(num_bytes, UNITS[unit.upper()])
        if whole and not rest:
            return f"{whole}{unit}"
    return f"{num_bytes}B"


def rounded_size(num_bytes: int) -> str:
    """Format a size for people, with at most three digits.

    Example:
        >>> rounded_size(86_523_904), rounded_size(512)
        ('86.5 MB', '512 B')
    """
    for unit in ("TB", "GB", "MB", "kB"):
        scale = UNITS[unit.upper()]
        if num_bytes >= scale:
            return f"{num_bytes / scale:.3g} {unit}"
    return f"{num_bytes} B"
