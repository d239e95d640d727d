"""An incomplete checkpoint is recognised, reported and skipped."""

from pathlib import Path

import pytest

from hf_vitret.training.checkpoints.checkpoint_contents import (
    check_whole,
    checkpoints,
    newest_whole_checkpoint,
    write_contents,
)


def checkpoint(parent: Path, step: int) -> Path:
    folder = parent / f"checkpoint-{step}"
    (folder / "shards").mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"w" * 100)
    (folder / "shards" / "0.bin").write_bytes(b"s" * 10)
    write_contents(folder)
    return folder


def test_a_complete_checkpoint_passes(tmp_path: Path) -> None:
    check_whole(checkpoint(tmp_path, 1))


@pytest.mark.parametrize("name", ["model.safetensors", "shards/0.bin"])
def test_a_missing_or_short_file_is_named(tmp_path: Path, name: str) -> None:
    folder = checkpoint(tmp_path, 1)
    path = folder / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(FileNotFoundError, match=rf"{name} of \d+ bytes.*got \d+ bytes.*incomplete: copy it again"):
        check_whole(folder)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"{name} of \d+ bytes.*got no such file"):
        check_whole(folder)


def test_a_checkpoint_without_its_list_is_incomplete(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, 1)
    (folder / "contents.json").unlink()
    with pytest.raises(FileNotFoundError, match="which is written last"):
        check_whole(folder)


def test_the_newest_complete_checkpoint_is_found_by_number(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for step in (9, 10, 100):
        checkpoint(tmp_path, step)
    (tmp_path / "checkpoint-best").mkdir()
    assert [path.name for path in checkpoints(tmp_path)] == ["checkpoint-9", "checkpoint-10", "checkpoint-100"]
    (tmp_path / "checkpoint-100" / "model.safetensors").write_bytes(b"w")
    assert newest_whole_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    assert "checkpoint-100" in caplog.text
    assert newest_whole_checkpoint(tmp_path / "nowhere") is None
