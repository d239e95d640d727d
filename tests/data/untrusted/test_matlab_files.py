"""MATLAB files of strangers: variables as they were saved, damage named, sizes limited."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from hf_vitret.data.untrusted import matlab_files
from hf_vitret.data.untrusted.matlab_files import read_matlab_file, single_number, single_text


@pytest.fixture(params=[True, False], ids=["compressed", "plain"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "some.mat"
    savemat(
        path,
        {"numbers": np.arange(1000.0), "text": "a word", "other": np.zeros(3)},
        do_compression=request.param,
    )
    return path


def test_only_the_named_variables_are_read(file: Path) -> None:
    content = read_matlab_file(file, ("numbers", "text"), extra="cars")
    assert list(content) == ["numbers", "text"]
    assert content["numbers"].ravel().tolist() == list(range(1000))
    assert single_text(content["text"]) == "a word"


def test_missing_variables_are_named(file: Path) -> None:
    with pytest.raises(ValueError, match=r"some\.mat: expected the variables text, gone; missing: gone"):
        read_matlab_file(file, ("text", "gone"), extra="cars")


@pytest.mark.parametrize("length", [0, 20, 127, 140, 500])
def test_a_file_that_is_cut_off_is_named(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"some\.mat: expected (a MATLAB file of version|the variables numbers)"):
        read_matlab_file(file, ("numbers",), extra="cars")


@pytest.mark.parametrize("content", [b"<!DOCTYPE html><html>" + bytes(300), b"\x89HDF\r\n\x1a\n" + bytes(600)])
def test_other_formats_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "some.mat").write_bytes(content)
    with pytest.raises(ValueError, match=r"some\.mat: expected "):
        read_matlab_file(tmp_path / "some.mat", ("numbers",), extra="cars")


def test_the_size_is_limited_after_decompression(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matlab_files, "MAX_BYTES", 20_000)
    read_matlab_file(file, ("numbers",), extra="cars")
    monkeypatch.setattr(matlab_files, "MAX_BYTES", 7_000)  # of 8,000 bytes of numbers
    with pytest.raises(ValueError, match=r"some\.mat: expected at most 7,000 bytes after decompression"):
        read_matlab_file(file, ("numbers",), extra="cars")


def test_a_bomb_is_refused_before_scipy_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    savemat(tmp_path / "some.mat", {"numbers": np.arange(3.0)})
    packed = zlib.compress(bytes(50 * 2**20), 9)
    with (tmp_path / "some.mat").open("ab") as stream:
        stream.write(struct.pack("<II", 15, len(packed)) + packed)
    monkeypatch.setattr(matlab_files, "MAX_BYTES", 2**20)
    monkeypatch.setattr("scipy.io.loadmat", lambda *_, **__: pytest.fail("scipy was called"))
    with pytest.raises(ValueError, match="at most 1,048,576 bytes after decompression"):
        read_matlab_file(tmp_path / "some.mat", ("numbers",), extra="cars")


@pytest.mark.parametrize(
    ("value", "text", "number"),
    [
        (np.array(["word"]), "word", None),
        (np.array(["a", "b"]), None, None),
        (np.array([]), None, None),
        (np.array([[7]], np.uint8), None, 7),
        (np.array(-7.0), None, -7),
        (np.array(7.5), None, None),
        (np.array(np.nan), None, None),
        (np.array(np.inf), None, None),
        (np.array([True]), None, None),
        (np.array([1, 2]), None, None),
        ("word", None, None),
        (7, None, None),
    ],
)
def test_single_values(value: object, text: str | None, number: int | None) -> None:
    assert (single_text(value), single_number(value)) == (text, number)
