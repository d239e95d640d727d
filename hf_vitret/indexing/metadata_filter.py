"""`rows_where`: conditions on the metadata, which filter the images of a search."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

_CONDITION = re.compile(r"\s*(?P<column>[^=<>!]*[^=<>!\s])\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>.*?)\s*", re.DOTALL)
_COMPARE = {
    "=": "equal",
    "!=": "not_equal",
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}


def rows_where(table: pa.Table, conditions: Sequence[str]) -> np.ndarray:
    """Return which rows of a table meet all conditions.

    Args:
        table: A table whose columns are numbers, strings, booleans or dates.
        conditions: Conditions such as `"color=red"`, `"price<=20"` and `"sold!=true"`. The value is converted to the
            type of the column. A row with a null in the column does not meet the condition.

    Returns:
        `(num_rows,)` bool.

    Raises:
        ValueError: A condition is malformed, there is no such column, or the value cannot be converted to its type.

    Example:
        >>> import pyarrow
        >>> table = pyarrow.table({"color": ["red", "blue", "red"], "price": [5, 5, 30]})
        >>> rows_where(table, ["color=red", "price<20"])
        array([ True, False, False])
    """
    met = np.ones(len(table), dtype=bool)
    for condition in conditions:
        met &= _meet(table, condition)
    return met


def _meet(table: pa.Table, condition: str) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = _CONDITION.fullmatch(condition)
    if parts is None:
        raise ValueError(
            f"expected a condition such as color=red, with one of {', '.join(_COMPARE)}; got {condition!r}"
        )
    name, sign, text = parts.group("column", "sign", "value")
    if name not in table.column_names:
        raise ValueError(f"expected a column of {', '.join(table.column_names)} in {condition!r}; got {name!r}")
    column: Any = table[name]
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    try:
        value = pa.scalar(text).cast(column.type)
        met = getattr(pc, _COMPARE[sign])(column, value)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        raise ValueError(f"expected a value of type {column.type} in {condition!r}: {error}") from error
    found: np.ndarray = met.fill_null(False).to_numpy()
    return found
