"""Extraction by file name: paths, and archives that are unsafe or damaged, which leave nothing behind."""

import io
import tarfile
from pathlib import Path

import pytest

from hf_vitret.data.benchmarks.official_tars import extract_by_name


def write_tar(path: Path, names: list[str], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(name[-4:].encode()))
        if link is not None:
            info = tarfile.TarInfo("link.jpg")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    return path


def test_several_archives_become_one_folder(tmp_path: Path) -> None:
    archives = [
        write_tar(tmp_path / "1.tgz", ["paris/a/1.jpg", "paris/a/._1.jpg"]),
        write_tar(tmp_path / "2.tgz", ["2.jpg"]),
    ]
    target = extract_by_name(archives, tmp_path / "jpg", lambda name: f"{name[0]}/{name}")
    assert sorted(str(path.relative_to(target)) for path in target.rglob("*.jpg")) == ["1/1.jpg", "2/2.jpg"]
    assert (target / "2" / "2.jpg").read_bytes() == b".jpg"[-4:]
    before = (target / "2").stat().st_mtime_ns
    assert extract_by_name(archives, target, str) == target  # nothing is done twice
    assert (target / "2").stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("names", "link", "message"),
    [
        (["a/1.jpg", "b/1.jpg"], None, "has two files, .* for the path '1.jpg'"),
        (["1.jpg", "../2.jpg"], None, "would land outside its folder"),
        (["/2.jpg"], None, "would land outside its folder"),
        (["1.jpg"], "/etc/passwd", "is a link or a device"),
    ],
)
def test_unsafe_archives_are_refused(tmp_path: Path, names: list[str], link: str | None, message: str) -> None:
    archive = write_tar(tmp_path / "1.tgz", names, link)
    with pytest.raises(ValueError, match=message):
        extract_by_name([archive], tmp_path / "jpg", str)
    assert [path.name for path in tmp_path.iterdir()] == ["1.tgz"]


def test_a_place_outside_is_refused(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "1.tgz", ["1.jpg"])
    with pytest.raises(ValueError, match="for the path"):
        extract_by_name([archive], tmp_path / "jpg", lambda name: f"../{name}")
    assert [path.name for path in tmp_path.iterdir()] == ["1.tgz"]


def test_a_damaged_archive_leaves_nothing(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "1.tgz", [f"{number}.jpg" for number in range(99)])
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(ValueError, match="is no tar archive, or is damaged"):
        extract_by_name([archive], tmp_path / "jpg", str)
    assert [path.name for path in tmp_path.iterdir()] == ["1.tgz"]
