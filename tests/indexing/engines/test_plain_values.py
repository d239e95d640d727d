"""Metadata as JSON has it: each kind of column by an example, and back through JSON."""

import datetime
import json
from decimal import Decimal

import pyarrow as pa
import pytest

from hf_vitret.indexing.engines.plain_values import plain_rows


def test_each_kind_of_value():
    table = pa.table(
        {
            "text": ["é", None],
            "kind": pa.array(["a", None]).dictionary_encode(),
            "whole": pa.array([2**63 - 1, None], pa.int64()),
            "half": pa.array([0.5, float("nan")], pa.float16()),
            "price": pa.array([Decimal("12.50"), None]),
            "sold": [True, None],
            "day": [datetime.date(2024, 2, 29), None],
            "moment": pa.array([datetime.datetime(2024, 2, 29, 12, 30), None], pa.timestamp("ms")),
            "exact": pa.array([1_709_209_800_000_000_001, None], pa.timestamp("ns", tz="UTC")),
            "hour": [datetime.time(23, 59), None],
            "length": [datetime.timedelta(minutes=1.5), None],
            "nothing": pa.nulls(2),
        }
    )
    rows = plain_rows(table)
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows
    assert rows[0] == {
        "text": "é",
        "kind": "a",
        "whole": 2**63 - 1,
        "half": 0.5,
        "price": 12.5,
        "sold": True,
        "day": "2024-02-29",
        "moment": "2024-02-29T12:30:00",
        "exact": "2024-02-29T12:30:00.000000001+00:00",
        "hour": "23:59:00",
        "length": 90.0,
        "nothing": None,
    }
    assert set(rows[1].values()) == {None}


def test_infinite_numbers_are_refused():
    with pytest.raises(ValueError, match="finite numbers in column ratio; got -inf"):
        plain_rows(pa.table({"ratio": [1.0, float("-inf")]}))
