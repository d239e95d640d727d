import datetime

import numpy as np
import pyarrow as pa
import pytest

from hf_vitret.indexing.metadata_filter import rows_where

ROWS = {
    "color": ["red", "blue", None, "dark red", "a=b"],
    "price": [3, 20, 5, None, 7],
    "weight": [0.5, 1.5, 2.5, 3.5, None],
    "is_sold": [True, False, None, True, False],
    "day": [datetime.date(2024, 1, day) for day in (1, 2, 3, 4, 5)],
    "two words": ["x", "y", "x", "y", "x"],
}
TABLE = pa.table(ROWS)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("color=red", lambda row: row["color"] == "red"),
        (" color = dark red ", lambda row: row["color"] == "dark red"),
        ("color=a=b", lambda row: row["color"] == "a=b"),
        ("color!=red", lambda row: row["color"] is not None and row["color"] != "red"),
        ("price<=5", lambda row: row["price"] is not None and row["price"] <= 5),
        ("price>5", lambda row: row["price"] is not None and row["price"] > 5),
        ("weight<2.5", lambda row: row["weight"] is not None and row["weight"] < 2.5),
        ("weight>=2.5", lambda row: row["weight"] is not None and row["weight"] >= 2.5),
        ("is_sold=true", lambda row: row["is_sold"] is True),
        ("day>=2024-01-04", lambda row: row["day"] >= datetime.date(2024, 1, 4)),
        ("two words=x", lambda row: row["two words"] == "x"),
        ("color=", lambda row: row["color"] == ""),
    ],
)
def test_it_is_the_comparison_row_by_row(condition, expected):
    found = rows_where(TABLE, [condition])
    assert found.dtype == bool
    assert found.tolist() == [expected({name: values[row] for name, values in ROWS.items()}) for row in range(5)]


def test_all_conditions_hold_and_none_lets_all_pass():
    assert rows_where(TABLE, ["price>3", "weight<3", "is_sold=false"]).tolist() == [False, True, False, False, False]
    assert rows_where(TABLE, []).all()


def test_a_column_of_repeated_values():
    table = pa.table({"color": pa.array(["red", "blue", "red"]).dictionary_encode()})
    assert np.flatnonzero(rows_where(table, ["color=red"])).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("color", "expected a condition such as color=red"),
        ("=red", "expected a condition such as color=red"),
        ("size=3", "expected a column of color, price, .*got 'size'"),
        ("price=cheap", "expected a value of type int64"),
        ("price=3.5", "expected a value of type int64"),
        ("day<yesterday", "expected a value of type date32"),
    ],
)
def test_what_cannot_be_compared_is_refused(condition, message):
    with pytest.raises(ValueError, match=message):
        rows_where(TABLE, [condition])
