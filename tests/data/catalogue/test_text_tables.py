"""CSV, TSV and JSON Lines as Arrow tables: compared with the rows that were written, and errors that name the row."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hf_vitret.data.catalogue import text_tables
from hf_vitret.data.catalogue.text_tables import read_text_table

ROWS = [
    {"image": "a b.jpg", "label": "007", "note": None},
    {"image": "größe.jpg", "label": "None", "note": 'a "quoted"\nname, with a\ttab'},
    {"image": "杯.jpg", "label": "1.5", "note": " "},
]


def write(path: Path, rows: list[dict], encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as stream:
        if path.suffix.lower() == ".jsonl":
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
            writer = csv.DictWriter(stream, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "T.CSV", "T.JSONL"])
def test_text_is_read_back(tmp_path: Path, name: str, encoding: str) -> None:
    table = read_text_table(write(tmp_path / name, ROWS, encoding))
    assert table.schema == pa.schema([(column, pa.string()) for column in ROWS[0]])
    assert table.to_pylist() == ROWS


@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_many_rows_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(text_tables, "_ROWS_AT_ONCE", 7)
    rng = np.random.default_rng(0)
    rows = [{"a": str(rng.integers(100)), "b": f"{row}"} for row in range(50)]
    assert read_text_table(write(tmp_path / f"t.{suffix}", rows)).to_pylist() == rows


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("t.csv", "a,b\r\n1,2\r\n\r\n3,\r\n", {"a": ["1", "3"], "b": ["2", None]}),
        ("t.csv", 'a\n""\n', {"a": [None]}),
        ("t.csv", "a,b\n", {"a": [], "b": []}),
        ("t.jsonl", '{"a": 1}\n\n  \n{"a": 2}', {"a": [1, 2]}),
        ("t.jsonl", '{"a": 1, "b": "x"}\r\n{"b": ""}\r\n{"c": true}', {"a": [1, None, None], "b": ["x", None, None]}),
        ("t.jsonl", '{"b": 1.5, "a": [1]}\n{"a": [], "b": 2}', {"b": [1.5, 2.0], "a": [[1], []]}),
    ],
)
def test_what_is_left_out_and_what_is_null(tmp_path: Path, name: str, text: str, expected: dict) -> None:
    (tmp_path / name).write_bytes(text.encode())
    found = read_text_table(tmp_path / name)
    assert {column: found[column].to_pylist() for column in expected} == expected
    assert found.column_names[: len(expected)] == list(expected)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", r"t.csv: expected a header with the names of the columns; the file is empty"),
        ("t.csv", b"a,b,a\n1,2,3\n", r"t.csv: these columns are there more than once: a; rename them"),
        ("t.csv", b"a,b\n1,2\n1\n1,2\n1,2,3\n", r"t.csv: rows 1, 3 have not as many cells as the header: 2"),
        ("t.csv", b'a,b\n1,2\n"1,2\n', r"t.csv, after line 3: not CSV in UTF-8 \(unexpected end of data\)"),
        ("t.csv", b"a,b\n\xff\xfe,2\n", r"t.csv, after line \d: not CSV in UTF-8 \('utf-8' codec"),
        ("t.jsonl", b"", r"t.jsonl: expected one JSON object a line; the file has none"),
        ("t.jsonl", b"\n{}\n", r"t.jsonl: expected one JSON object a line; the file has none"),
        ("t.jsonl", b'{"a": 1}\n{"a": 2\n', r"t.jsonl, line 2: not JSON \(.*delimiter"),
        ("t.jsonl", b'{"a": 1}\n\n{"a": ' + b"[" * 200_000, r"t.jsonl, line 3: not JSON \("),
        ("t.jsonl", b'{"a": 1}\n["b"]\n', r't.jsonl, line 2: expected a JSON object .* as keys; got \["b"\]'),
        ("t.jsonl", b'[{"a": 1}]\n', r"t.jsonl, line 1: expected a JSON object"),
        ("t.jsonl", b'{"a": "\xff"}\n', r"t.jsonl, after line 0: not JSON in UTF-8"),
        (
            "t.jsonl",
            b'{"a": 1}\n\n{"a": 2}\n{"a": "x"}\n{"a": 3}\n',
            r"t.jsonl, line 4: column 'a' is \"x\", which does",
        ),
        ("t.jsonl", b'{"a": "x"}\n{"a": 7}\n', r"t.jsonl, line 2: column 'a' is 7, which does not go with the lines"),
        ("t.jsonl", b'{"a": true}\n{}\n{"a": 1}\n', r"t.jsonl, line 3: column 'a' is 1, which"),
        ("t.jsonl", b'{"a": [1]}\n{"a": ["x"]}\n', r"line 2: column 'a' is \[\"x\"\], which"),
        ("t.jsonl", b'{"a": 1}\n{"a": 9223372036854775808}\n', r"line 2: column 'a' is 9223372036854775808, which"),
        ("t.jsonl", b'{"a": "\\ud800"}\n', r"line 1: column 'a' is .*, which does not go with .*surrogates"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_text_table(tmp_path / name)


def test_a_row_that_is_wrong_in_a_later_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tables, "_ROWS_AT_ONCE", 2)
    (tmp_path / "t.csv").write_text("a,b\n" + "1,2\n" * 5 + "1\n1,2\n1,2,3\n")
    with pytest.raises(ValueError, match="rows 5, 7 have not as many cells as the header: 2"):
        read_text_table(tmp_path / "t.csv")
