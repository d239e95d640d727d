"""A file is whole or not there, whatever happens while it is written."""

from pathlib import Path

import pytest

from hf_vitret.files import atomic_writes
from hf_vitret.files.atomic_writes import partial_path, whole_file, write_text


def test_the_file_is_replaced_at_the_end_of_the_block(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    write_text(path, "old\n")
    with whole_file(path) as partial:
        partial.write_text("new\n")
        assert path.read_text() == "old\n"
    assert path.read_text() == "new\n"
    assert list(tmp_path.iterdir()) == [path]


def test_an_exception_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    write_text(path, "old\n")
    with pytest.raises(RuntimeError, match="half-way"), whole_file(path) as partial:
        partial.write_text("new")
        raise RuntimeError("half-way")
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "table.txt"
    partial_path(path).write_text("half of it, and longer than what comes")
    write_text(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_reaches_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "table.txt", []
    monkeypatch.setattr(atomic_writes, "flush", lambda flushed: seen.append((flushed.name, path.exists())))
    write_text(path, "content")
    assert seen == [(".partial-table.txt", False), (tmp_path.name, True)]
