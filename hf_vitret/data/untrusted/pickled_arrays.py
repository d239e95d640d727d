"""Numpy arrays out of what a pickle says of them, checked: numpy itself believes it.

`dtype.__setstate__` takes fields beyond the end of a record, and objects that claim to be none: reading such an array
reads foreign memory, or takes bytes of the file for an address. Hence these rules: a dtype is made from its plain name;
its later state may change neither its size nor whether it holds objects; content has the size that its shape asks for.
"""

from __future__ import annotations

import math
import re
from typing import Any

# Stands for `numpy.ndarray`, which called as it is would take memory of any size or shape.
ARRAY_TYPE = object()
# bool, int, uint, float, complex, bytes, text, record, object; as `dtype.__reduce__` spells them.
_PLAIN_NAME = re.compile(r"[biufcSUV][0-9]{1,9}|O[0-9]?", re.ASCII)
_STATE_VERSION = 3  # of dtypes without metadata (all but dates), since numpy 1.0


class RefusedError(Exception):
    """The pickle asks for what it may not have; the text says for what."""


def plain_dtype(name: Any, align: Any = False, copy: Any = False) -> Any:
    """Make a dtype that nothing else refers to, as its state is still to be given to it."""
    import numpy as np

    if not isinstance(name, str) or not _PLAIN_NAME.fullmatch(name):
        raise RefusedError(f"numpy.dtype of {name!r}")
    return np.dtype(name[0] if name[0] == "O" else name, copy=True)


def complete_dtype(dtype: Any, state: Any) -> None:
    """Give a dtype its byte order, and to a record its fields, in place."""
    import numpy as np

    if not isinstance(state, tuple) or len(state) != 8 or state[0] != _STATE_VERSION:
        raise RefusedError("a numpy.dtype of dates, or with metadata")
    _, order, subarray, names, fields, itemsize, _, _ = state
    if names is None and fields is None and subarray is None and itemsize in (-1, dtype.itemsize):
        checked = dtype.newbyteorder(order)
    elif dtype.kind == "V" and subarray is None and itemsize == dtype.itemsize:
        formats, offsets = zip(*(fields[name] for name in names))
        if any(part.hasobject for part in formats):
            raise RefusedError("a numpy.dtype of records of objects")
        record: Any = {"names": list(names), "formats": formats, "offsets": offsets, "itemsize": itemsize}
        checked = np.dtype(record)  # refuses fields beyond the end
    else:
        raise RefusedError(f"a numpy.dtype {dtype.str!r} with a state that is not its own")
    dtype.__setstate__(checked.__reduce__()[2])


def empty_array(array_type: Any, shape: Any, dtype: Any) -> Any:
    """Do what numpy's `_reconstruct` does: make the array that is then given its shape, dtype and content."""
    import numpy as np

    if array_type is not ARRAY_TYPE or shape != (0,):
        raise RefusedError("numpy's _reconstruct of something other than an empty array")
    return np.ndarray((0,), dtype="b")


def complete_array(array: Any, state: Any) -> None:
    """Give an empty array its shape, dtype and content, in place."""
    _, shape, dtype, is_fortran, content = state
    size = math.prod(shape)
    if dtype.hasobject:
        fits = isinstance(content, list) and len(content) == size
    else:
        content = _raw(content)
        fits = len(content) == size * dtype.itemsize and (dtype.itemsize > 0 or size == 0)
    # One that has content may have been looked into, and is not taken its memory.
    if array.size or not fits or any(length < 0 for length in shape):
        raise RefusedError(f"a numpy array of shape {shape} with content of another size")
    array.__setstate__((1, shape, dtype, bool(is_fortran), content))


def array_scalar(dtype: Any, content: Any = None) -> Any:
    """Do what numpy's `scalar` does: make an array scalar from its bytes."""
    import numpy as np

    raw = _raw(content)
    if dtype.hasobject or len(raw) != dtype.itemsize:
        raise RefusedError("a numpy scalar that is no number or text, or has content of another size")
    return np.ndarray((), dtype=dtype, buffer=raw)[()] if raw else dtype.type()


def array_from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any, axis_order: Any = None) -> Any:
    """Do what numpy's `_frombuffer` does: make an array from its bytes, as protocol 5 stores it."""
    import numpy as np

    if type(buffer) not in (bytes, bytearray) or dtype.hasobject:
        raise RefusedError("a numpy array of objects, or of the memory of another one, in a buffer")
    array = np.frombuffer(buffer, dtype=dtype)
    if order == "K" and axis_order is not None:
        return array.reshape(shape, order="C").transpose(axis_order)
    return array.reshape(shape, order=order)


def _raw(content: Any) -> bytes:
    """Return an array's bytes; Python 2 wrote them as text."""
    if isinstance(content, str):
        return content.encode("latin1")
    if isinstance(content, bytes):
        return content
    raise RefusedError(f"a numpy array with content of type {type(content).__name__}")
