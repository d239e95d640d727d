"""`plain_rows`: rows of metadata as JSON values, for engines that do not accept Arrow."""

from __future__ import annotations

import math
from datetime import date, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


def plain_rows(table: pa.Table) -> list[dict[str, Any]]:
    """Convert a table to one dictionary per row.

    Dates and times become ISO 8601 text, decimals become floats, durations become seconds, and NaN becomes null.

    Raises:
        ValueError: A number is infinite, which JSON does not support.
    """
    columns = {name: [_plain(value, name) for value in table[name].to_pylist()] for name in table.column_names}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        value = float(value)
    if isinstance(value, float) and not math.isfinite(value):
        if math.isnan(value):
            return None
        raise ValueError(
            f"expected finite numbers in column {name}; got {value}, which the engine cannot store: replace it"
        )
    return value
