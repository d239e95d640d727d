"""Read named variables of an untrusted MATLAB file, without running any code and within a limit of size."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_BYTES = 256 * 2**20  # limit of the file after decompression; the official annotations of Cars-196 take about 10 MB
_HEADER_BYTES = 128
_COMPRESSED = 15  # type of an element that zlib has compressed


def read_matlab_file(path: Path, variables: Sequence[str], *, extra: str) -> dict[str, Any]:
    """Read variables of a MATLAB file of version 5 to 7, which scipy reads.

    Args:
        path: The file.
        variables: Names of the variables.
        extra: The extra of this package that installs scipy, for the error.

    Returns:
        The name of each variable and its numpy array, as `scipy.io.loadmat` returns it: cell arrays have the dtype
        object, struct arrays have fields, and texts are arrays of strings.

    Raises:
        ImportError: scipy is not installed.
        ValueError: The file is damaged, of another format, or larger than `MAX_BYTES` after decompression; or a
            variable is missing.
    """
    try:
        from scipy.io import loadmat
    except ImportError as error:
        command = f'pip install "hf_vitret[{extra}]"'
        raise ImportError(f"{path.name} is read by scipy, which is not installed: {command}") from error
    _check_size(path)
    try:
        content = loadmat(str(path), appendmat=False, chars_as_strings=True, variable_names=tuple(variables))
    except Exception as error:  # a damaged file raises almost anything in scipy
        raise ValueError(
            f"{path}: expected a MATLAB file of version 5 to 7, which scipy cannot read here "
            f"({type(error).__name__}: {error}): was the download cut off? Download it again"
        ) from error
    missing = [name for name in variables if name not in content]
    if missing:
        raise ValueError(f"{path}: expected the variables {', '.join(variables)}; missing: {', '.join(missing)}")
    return {name: content[name] for name in variables}


def single_text(value: Any) -> str | None:
    """Return the text in an array of one string; `None` for anything else."""
    import numpy as np

    is_text = isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.size == 1
    return str(value.item()) if is_text else None


def single_number(value: Any) -> int | None:
    """Return the number in an array of one whole number, of any numeric dtype; `None` for anything else."""
    import numpy as np

    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf" or value.size != 1:
        return None
    number = float(value.item())
    return int(number) if number.is_integer() else None


def _check_size(path: Path) -> None:
    """Refuse a file whose elements decompress to more than `MAX_BYTES`, without holding what they decompress to."""
    total = path.stat().st_size
    with path.open("rb") as stream:
        order = ">" if stream.read(_HEADER_BYTES).endswith(b"MI") else "<"
        while total <= MAX_BYTES and len(tag := stream.read(8)) == 8:
            kind, size = struct.unpack(f"{order}II", tag)
            if kind != _COMPRESSED:
                stream.seek(size, 1)
                continue
            total += _unpacked_bytes(stream.read(min(size, MAX_BYTES)), MAX_BYTES - total)
    if total > MAX_BYTES:
        raise ValueError(
            f"{path}: expected at most {MAX_BYTES:,} bytes after decompression, got more: use the official file"
        )


def _unpacked_bytes(packed: bytes, limit: int) -> int:
    """Count the bytes that zlib decompresses to, up to a little more than the limit; damage is left to the reader."""
    unzip, total = zlib.decompressobj(), 0
    try:
        while total <= limit and not unzip.eof:
            part = unzip.decompress(packed, 2**20)
            if not part and not unzip.unconsumed_tail:
                break
            total, packed = total + len(part), unzip.unconsumed_tail
    except zlib.error:
        pass
    return total
