"""Read untrusted pickles without running any function that they ask for."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from .pickled_arrays import (
    ARRAY_TYPE,
    RefusedError,
    array_from_buffer,
    array_scalar,
    complete_array,
    complete_dtype,
    empty_array,
    plain_dtype,
)

if TYPE_CHECKING:
    from os import PathLike


def load_pickle(path: str | PathLike[str]) -> Any:
    """Read a pickle of built-in containers, numbers, text and numpy arrays, and nothing else.

    A pickle is a program: it can call any function that can be imported, and change the result. This reader offers
    only functions that make sets, bytes and arrays, and checks their arguments; every other name is an error. Files
    written by Python 2 are read as Latin-1.

    Args:
        path: A pickle of any protocol.

    Returns:
        The content: dict, list, tuple, set, frozenset, str, bytes, int, float, bool, None, and arrays, array scalars
        and dtypes of numbers and text, nested; also arrays of such objects, and of records of numbers and text.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The pickle asks for another object (the message names it), or is damaged.
    """
    path = Path(path)
    content = path.read_bytes()
    try:
        return _Unpickler(io.BytesIO(content), encoding="latin1").load()
    except RefusedError as refused:
        raise ValueError(
            f"{path} asks for {refused}, which is no built-in container and no numpy array: refused, and nothing was "
            "run. Download the official file again"
        ) from refused
    # A damaged or hostile pickle can raise almost any exception, depending on the opcode.
    except Exception as error:
        raise ValueError(f"{path} is no pickle, or is damaged ({type(error).__name__}: {error})") from error


# The base is the unpickler written in Python, which takes about a microsecond for each value (SfM-120k has half a
# million): the one written in C calls `__setstate__` of any object, and a subclass cannot prevent that.
class _Unpickler(pickle._Unpickler):
    """An unpickler that finds only the names in `_ALLOWED`, and sets only the state of arrays and dtypes."""

    stack: list[Any]

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise RefusedError(f"{module}.{name}")
        return _ALLOWED[module, name]

    def get_extension(self, code: int) -> None:
        """Refuse extensions of `copyreg`: the unpickler may take them from a cache, without a call of `find_class`."""
        raise RefusedError(f"copyreg's extension {code}")

    def persistent_load(self, pid: Any) -> None:
        raise RefusedError(f"the object {pid!r} outside the file")

    def load_build(self) -> None:
        """Set the state of an array or a dtype, after checks that their own `__setstate__` does not make."""
        import numpy as np

        state = self.stack.pop()
        made = self.stack[-1]
        if type(made) is np.ndarray:
            complete_array(made, state)
        elif isinstance(made, np.dtype):
            complete_dtype(made, state)
        else:
            raise RefusedError(f"a change of the state of {type(made).__name__}")

    dispatch: ClassVar[dict[int, Any]] = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: load_build}


def _bytes_of(text: str, encoding: str = "latin1") -> bytes:
    """Replace `_codecs.encode`: protocols 0 to 2 write bytes as text and the name of an encoding."""
    if encoding not in ("latin1", "latin-1"):
        raise RefusedError(f"_codecs.encode to {encoding!r}")
    return text.encode("latin1")


def _no_bytes() -> bytes:
    """Replace `bytes` without arguments: protocols 0 to 2 write empty bytes as this call."""
    return b""


# The names that a pickle may use. Python 2 has another name for `builtins`, and numpy 1 for `numpy._core`.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _bytes_of,
    ("numpy", "ndarray"): ARRAY_TYPE,
    ("numpy", "dtype"): plain_dtype,
}
for _module in ("builtins", "__builtin__"):
    _ALLOWED |= {(_module, "set"): set, (_module, "frozenset"): frozenset, (_module, "bytes"): _no_bytes}
for _module in ("numpy.core", "numpy._core"):
    _ALLOWED[f"{_module}.multiarray", "_reconstruct"] = empty_array
    _ALLOWED[f"{_module}.multiarray", "scalar"] = array_scalar
    _ALLOWED[f"{_module}.numeric", "_frombuffer"] = array_from_buffer
