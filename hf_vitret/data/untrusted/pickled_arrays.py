"""Build numpy arrays from the arguments in a pickle, and check these arguments, which numpy itself does not.

`dtype.__setstate__` accepts fields beyond the end of a record, and object fields in a dtype that claims to have none.
Reading an array of such a dtype reads foreign memory, or uses bytes of the file as an address. Therefore a dtype is
made from its plain name; its later state may change neither its size nor whether it holds objects; and the content must
have the size that the shape requires.
"""

from __future__ import annotations

import math
import re
from typing import Any

# Stands for `numpy.ndarray`, which a pickle may name but not call: a call can allocate memory of any size.
ARRAY_TYPE = object()
# bool, int, uint, float, complex, bytes, text, record and object, in the spelling of `dtype.__reduce__`.
_PLAIN_NAME = re.compile(r"[biufcSUV][0-9]{1,9}|O[0-9]?", re.ASCII)
_STATE_VERSION = 3  # of the state of dtypes without metadata (all but dates), since numpy 1.0


class RefusedError(Exception):
    """The pickle asks for an object that is not allowed; the text names the object."""


def plain_dtype(name: Any, align: Any = False, copy: Any = False) -> Any:
    """Make a dtype from its name, as a new object, because `complete_dtype` changes it later.

    Args:
        name: Name of the dtype, such as `"i8"`.
        align: Not used; a pickle passes it.
        copy: Not used; a pickle passes it.

    Raises:
        RefusedError: The name is not one of a plain dtype.
    """
    import numpy as np

    if not isinstance(name, str) or not _PLAIN_NAME.fullmatch(name):
        raise RefusedError(f"numpy.dtype of {name!r}")
    return np.dtype(name[0] if name[0] == "O" else name, copy=True)


def complete_dtype(dtype: Any, state: Any) -> None:
    """Set the byte order of a dtype, and the fields of a record, in place.

    Args:
        dtype: The dtype that `plain_dtype` made.
        state: The state in the pickle.

    Raises:
        RefusedError: The state has dates, metadata or records of objects, or does not belong to the dtype.
    """
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
        checked = np.dtype(record)  # raises for fields beyond the end
    else:
        raise RefusedError(f"a numpy.dtype {dtype.str!r} with a state that is not its own")
    dtype.__setstate__(checked.__reduce__()[2])


def empty_array(array_type: Any, shape: Any, dtype: Any) -> Any:
    """Replace numpy's `_reconstruct`: make an empty array, to which `complete_array` gives shape, dtype and content.

    Raises:
        RefusedError: The arguments are not those that numpy writes.
    """
    import numpy as np

    if array_type is not ARRAY_TYPE or shape != (0,):
        raise RefusedError("numpy's _reconstruct of something other than an empty array")
    return np.ndarray((0,), dtype="b")


def complete_array(array: Any, state: Any) -> None:
    """Set the shape, dtype and content of an empty array, in place.

    Args:
        array: The array that `empty_array` made.
        state: The state in the pickle: version, shape, dtype, whether the order is Fortran's, and content.

    Raises:
        RefusedError: The array has content already, or the content does not have the size that the shape requires.
    """
    _, shape, dtype, is_fortran, content = state
    size = math.prod(shape)
    if dtype.hasobject:
        fits = isinstance(content, list) and len(content) == size
    else:
        content = _raw(content)
        fits = len(content) == size * dtype.itemsize and (dtype.itemsize > 0 or size == 0)
    # An array that has content may be in use by another one, so its memory must not be replaced.
    if array.size or not fits or any(length < 0 for length in shape):
        raise RefusedError(f"a numpy array of shape {shape} with content of another size")
    array.__setstate__((1, shape, dtype, bool(is_fortran), content))


def array_scalar(dtype: Any, content: Any = None) -> Any:
    """Replace numpy's `scalar`: make an array scalar from its bytes.

    Raises:
        RefusedError: The dtype holds objects, or the content has another size than the dtype.
    """
    import numpy as np

    raw = _raw(content)
    if dtype.hasobject or len(raw) != dtype.itemsize:
        raise RefusedError("a numpy scalar that is no number or text, or has content of another size")
    return np.ndarray((), dtype=dtype, buffer=raw)[()] if raw else dtype.type()


def array_from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any, axis_order: Any = None) -> Any:
    """Replace numpy's `_frombuffer`: make an array from its bytes, the way protocol 5 stores an array.

    Raises:
        RefusedError: The dtype holds objects, or the buffer is not of the type bytes or bytearray.
    """
    import numpy as np

    if type(buffer) not in (bytes, bytearray) or dtype.hasobject:
        raise RefusedError("a numpy array of objects, or of the memory of another one, in a buffer")
    array = np.frombuffer(buffer, dtype=dtype)
    if order == "K" and axis_order is not None:
        return array.reshape(shape, order="C").transpose(axis_order)
    return array.reshape(shape, order=order)


def _raw(content: Any) -> bytes:
    """Return the bytes of an array. Python 2 wrote them as text."""
    if isinstance(content, str):
        return content.encode("latin1")
    if isinstance(content, bytes):
        return content
    raise RefusedError(f"a numpy array with content of type {type(content).__name__}")
