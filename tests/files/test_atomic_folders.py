"""A folder is whole or not there, whatever happens while it is written."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hf_vitret.files.atomic_folders import readable_folder, remove_partials, whole_folder


def test_replaces_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "final"
    for content in ("old", "new"):
        with whole_folder(target) as partial:
            assert not target.exists() or (target / "file").read_text() == "old"
            (partial / "file").write_text(content)
    assert (target / "file").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_an_exception_leaves_the_old_folder_alone(tmp_path: Path) -> None:
    target = tmp_path / "final"
    target.mkdir()
    (target / "file").write_text("old")
    with pytest.raises(RuntimeError, match="half-way"), whole_folder(target) as partial:
        (partial / "file").write_text("new")
        raise RuntimeError("half-way")
    assert (target / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]


def test_a_kill_leaves_no_half_written_folder(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from hf_vitret.files.atomic_folders import whole_folder\n"
        "with whole_folder(Path(sys.argv[1])) as partial:\n"
        "    (partial / 'file').write_text('half')\n"
        "    print('written', flush=True)\n"
        "    time.sleep(60)\n"
    )
    target = tmp_path / "checkpoint-3"
    with subprocess.Popen([sys.executable, "-c", code, target], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    assert not target.exists()
    remove_partials(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_partial_files_are_cleared_away_too(tmp_path: Path) -> None:
    (tmp_path / ".partial-results.json").write_text("{")
    (tmp_path / "results.json").write_text("{}")
    remove_partials(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def test_a_kill_between_the_renames_brings_the_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "final"
    target.mkdir()
    (target / "file").write_text("old")
    rename = Path.rename

    def die_after_the_first(self: Path, other: Path) -> None:
        rename(self, other)
        raise SystemExit("killed")

    monkeypatch.setattr(Path, "rename", die_after_the_first)
    with pytest.raises(SystemExit, match="killed"), whole_folder(target) as partial:
        (partial / "file").write_text("new")
    monkeypatch.undo()
    assert not target.exists()
    assert (readable_folder(target) / "file").read_text() == "old"
    remove_partials(tmp_path)
    assert (target / "file").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["final"]
