"""Extraction of archives: whole folders, and attacks that are refused and leave nothing behind."""

import gzip
import io
import os
import signal
import stat
import subprocess
import sys
import tarfile
import time
import zipfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from hf_vitret.data.untrusted.archives.extraction import extract_archive

KINDS = [".zip", ".tgz", ".tar.gz", ".tar"]


def make_archive(folder: Path, kind: str, members: list[tuple[str, bytes]]) -> Path:
    """Write files into an archive, in order, with the given names."""
    path = folder / f"data{kind}"
    if kind == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members:
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w" if kind == ".tar" else "w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_extracts_the_root_folder_alone_and_only_once(tmp_path: Path, kind: str) -> None:
    members = [
        ("top/a.txt", b"a"),
        ("top/deep/er/b.txt", b"b" * 100_000),
        ("top/._a.txt", b"note of macOS"),
        ("__MACOSX/._a.txt", b"x"),
        ("attributes.txt", b"beside it"),
    ]
    archive = make_archive(tmp_path, kind, members)
    target = extract_archive(archive, tmp_path / "out", "top")
    found = {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    assert found == {"a.txt": b"a", "deep/er/b.txt": b"b" * 100_000}
    assert names_in(tmp_path) == [archive.name, "out"]
    archive.unlink()
    assert extract_archive(archive, target, "top") == target  # already there: the archive is not needed


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        *["/etc/evil", "top/../../evil", "top/..", "..", "top/../../../evil"],
        *[
            "..\\evil",
            "C:\\evil",
            "C:/evil",
            "\\\\server\\evil",
            "top/.. /evil",
            "top/.../evil",
            "top/a.txt:evil",
        ],  # Windows
    ],
)
def test_a_member_that_leaves_the_target_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    archive = make_archive(tmp_path, kind, [("top/a.txt", b"a"), (name, b"evil")])
    with pytest.raises(ValueError, match=r"has a member that would land outside its folder: .*nothing was extracted"):
        extract_archive(archive, tmp_path / "out", "top")
    assert names_in(tmp_path) == [archive.name]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, kind: int) -> None:
    odd = zipfile.ZipInfo("top/odd")
    odd.create_system = 3  # Unix: the mode is in external_attr
    odd.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "data.zip", "w") as archive:
        archive.writestr("top/a.txt", b"a")
        archive.writestr(odd, "/etc")
    with pytest.raises(ValueError, match="is a link or a device: 'top/odd'"):
        extract_archive(tmp_path / "data.zip", tmp_path / "out", "top")
    assert names_in(tmp_path) == ["data.zip"]


def test_a_link_to_write_through_is_refused_before_the_file_behind_it(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    with tarfile.open(tmp_path / "data.tar", "w") as archive:
        link = tarfile.TarInfo("top/door")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path / "elsewhere")
        archive.addfile(link)
        archive.addfile(tarfile.TarInfo("top/door/evil"))
    with pytest.raises(ValueError, match="is a link or a device: 'top/door'"):
        extract_archive(tmp_path / "data.tar", tmp_path / "out", "top")
    assert names_in(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("linked", ["/etc/passwd", "a.txt"])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes, linked: str) -> None:
    with tarfile.open(tmp_path / "data.tgz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("top/a.txt"))
        info = tarfile.TarInfo("top/odd")
        info.type, info.linkname = kind, linked
        archive.addfile(info)
    with pytest.raises(ValueError, match="is a link or a device: 'top/odd'"):
        extract_archive(tmp_path / "data.tgz", tmp_path / "out", "top")
    assert names_in(tmp_path) == ["data.tgz"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_member_that_is_there_twice_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.warns(UserWarning, match="Duplicate") if kind == ".zip" else nullcontext():
        archive = make_archive(tmp_path, kind, [("top/a.txt", b"honest"), ("top/a.txt", b"evil")])
    with pytest.raises(ValueError, match=r"has two members of one path, 'top/a\.txt'.*nothing was extracted"):
        extract_archive(archive, tmp_path / "out", "top")
    assert names_in(tmp_path) == [archive.name]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("names", [("top/a", "top/a/b"), ("top/a/b", "top/a"), ("top/./a", "top//a")])
def test_a_file_in_the_place_of_another_or_of_a_folder_is_refused(
    tmp_path: Path, kind: str, names: tuple[str, str]
) -> None:
    archive = make_archive(tmp_path, kind, [(name, b"x") for name in names])
    with pytest.raises(ValueError, match=r"has two members of one path, 'top/a"):
        extract_archive(archive, tmp_path / "out", "top")
    assert names_in(tmp_path) == [archive.name]


def test_folders_and_the_top_itself_may_be_members(tmp_path: Path) -> None:
    """`tar czf data.tgz .` writes them all with a leading dot."""
    (tmp_path / "from" / "top" / "deep").mkdir(parents=True)
    (tmp_path / "from" / "top" / "deep" / "a.txt").write_bytes(b"a")
    with tarfile.open(tmp_path / "data.tgz", "w:gz") as archive:
        archive.add(tmp_path / "from", ".")
        assert archive.getnames()[:2] == [".", "./top"]
    assert (extract_archive(tmp_path / "data.tgz", tmp_path / "out", "top") / "deep" / "a.txt").read_bytes() == b"a"


def test_an_encrypted_archive_says_what_to_do(tmp_path: Path) -> None:
    archive = make_archive(tmp_path, ".zip", [("top/a.txt", b"a")])
    content = bytearray(archive.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flags of the entry in the directory
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=r"data\.zip is encrypted: extract it with the password .* pass the folder"):
        extract_archive(archive, tmp_path / "out", "top")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bomb_is_refused_by_size_and_by_number(tmp_path: Path, kind: str) -> None:
    archive = make_archive(tmp_path, kind, [(f"top/{i}.txt", b"0" * 1000) for i in range(20)])
    for limits in ({"max_bytes": 19_999}, {"max_members": 19}):
        with pytest.raises(ValueError, match=r"would unpack to more than [\d,]+ files or [\d,]+ bytes, the limits"):
            extract_archive(archive, tmp_path / "out", "top", **limits)
        assert names_in(tmp_path) == [archive.name]
    assert (
        len(list(extract_archive(archive, tmp_path / "out", "top", max_bytes=20_000, max_members=20).iterdir())) == 20
    )


def test_a_bomb_in_a_header_is_refused_before_it_is_in_memory(tmp_path: Path) -> None:
    """A header of a gigabyte takes a megabyte when it is gzipped."""
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 2**30
    with gzip.open(tmp_path / "data.tgz", "wb", compresslevel=1) as archive:
        archive.write(header.tobuf())
        for _ in range(64):
            archive.write(bytes(2**20))
    with pytest.raises(ValueError, match=r"data\.tgz has a header of 1,073,741,824 bytes"):
        extract_archive(tmp_path / "data.tgz", tmp_path / "out", "top")


def test_a_header_that_understates_the_size_gains_nothing(tmp_path: Path) -> None:
    archive = make_archive(tmp_path, ".zip", [("top/a.txt", b"0" * 5000)])
    content = archive.read_bytes()
    lied = content.replace((5000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lied != content
    archive.write_bytes(lied)
    with pytest.raises(ValueError, match="is damaged"):
        extract_archive(archive, tmp_path / "out", "top", max_bytes=100)
    assert names_in(tmp_path) == ["data.zip"]


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    archive = make_archive(tmp_path, ".zip", [("top/a.txt", b"new")])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.txt").write_bytes(b"mine")
    assert (extract_archive(archive, tmp_path / "out", "top") / "a.txt").read_bytes() == b"mine"


@pytest.mark.parametrize("kind", [".zip", ".tgz"])
def test_an_interruption_leaves_nothing_and_can_be_repeated(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = make_archive(tmp_path, kind, [("top/a.txt", b"a"), ("top/b.txt", b"b")])
    copies = []

    def interrupt(source, sink):
        copies.append(sink.name)
        sink.write(source.read())
        if len(copies) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hf_vitret.data.untrusted.archives.extraction.shutil.copyfileobj", interrupt)
        with pytest.raises(KeyboardInterrupt):
            extract_archive(archive, tmp_path / "out", "top")
    assert names_in(tmp_path) == [archive.name]
    assert len(list(extract_archive(archive, tmp_path / "out", "top").iterdir())) == 2


SLOW_EXTRACTION = """
import shutil, sys, time
from pathlib import Path
from hf_vitret.data.untrusted.archives.extraction import extract_archive
copy, pause = shutil.copyfileobj, float(sys.argv[2])
def slow(source, sink):
    copy(source, sink)
    time.sleep(pause)
shutil.copyfileobj = slow
folder = Path(sys.argv[1])
extract_archive(folder / "data.tgz", folder / "out", "top")
print(len(list((folder / "out").iterdir())))
"""


def start(folder: Path, pause: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SLOW_EXTRACTION, str(folder), str(pause)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def wait_until_begun(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not list(folder.glob(".partial-out/*")):
        assert time.monotonic() < deadline, "no file was extracted in a minute"
        time.sleep(0.02)


def test_a_killed_extraction_is_repeated_from_a_clean_start(tmp_path: Path) -> None:
    make_archive(tmp_path, ".tgz", [(f"top/{i}.txt", b"0" * 1000) for i in range(30)])
    killed = start(tmp_path, 10)
    wait_until_begun(tmp_path)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    (tmp_path / ".partial-out" / "half.txt").write_bytes(b"what a kill may leave")
    target = extract_archive(tmp_path / "data.tgz", tmp_path / "out", "top")
    assert names_in(target) == sorted(f"{i}.txt" for i in range(30))
    assert names_in(tmp_path) == ["data.tgz", "out"]


def test_who_comes_while_another_process_extracts_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_archive(tmp_path, ".tgz", [(f"top/{i}.txt", b"0" * 1000) for i in range(20)])
    first = start(tmp_path, 0.1)
    wait_until_begun(tmp_path)

    def extract_too(*_: object) -> None:
        raise AssertionError("extracts what another process is extracting")

    monkeypatch.setattr("hf_vitret.data.untrusted.archives.extraction.shutil.copyfileobj", extract_too)
    assert len(names_in(extract_archive(tmp_path / "data.tgz", tmp_path / "out", "top"))) == 20
    assert first.communicate()[0].strip() == "20"
    assert names_in(tmp_path) == ["data.tgz", "out"]


def test_processes_that_begin_together_all_find_the_whole(tmp_path: Path) -> None:
    make_archive(tmp_path, ".tgz", [(f"top/{i}.txt", b"0" * 1000) for i in range(20)])
    processes = [start(tmp_path, 0.02) for _ in range(3)]
    assert [process.communicate()[0].strip() for process in processes] == ["20"] * 3
    assert names_in(tmp_path) == ["data.tgz", "out"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_download_that_was_cut_off_anywhere(tmp_path: Path, kind: str) -> None:
    content = make_archive(tmp_path, kind, [(f"top/{i}.txt", os.urandom(512)) for i in range(4)]).read_bytes()
    archive = tmp_path / f"data{kind}"
    end = len(content) if kind != ".tar" else 4 * 1024 + 1  # behind four headers and files a tar has padding
    lengths = range(256, end, 256)
    assert len(lengths) >= 8
    for length in lengths:
        archive.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"is damaged .*Download it again"):
            extract_archive(archive, tmp_path / "out", "top")
        assert names_in(tmp_path) == [archive.name]
    archive.write_bytes(content)
    assert len(names_in(extract_archive(archive, tmp_path / "out", "top"))) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_bits_that_changed_are_noticed(tmp_path: Path, kind: str) -> None:
    archive = make_archive(tmp_path, kind, [(f"top/{i}.txt", os.urandom(600)) for i in range(3)])
    content = bytearray(archive.read_bytes())
    # Content has a checksum in zip and gzip; a plain tar has one for each header, here the third.
    content[len(content) // 2 if kind != ".tar" else content.index(b"top/2.txt")] ^= 0x55
    archive.write_bytes(content)
    with pytest.raises(ValueError, match=r"is damaged .*Download it again"):
        extract_archive(archive, tmp_path / "out", "top")
    assert names_in(tmp_path) == [archive.name]


def test_zeros_after_the_end_are_not_read_for_ever(tmp_path: Path) -> None:
    archive = make_archive(tmp_path, ".tar", [("top/a.txt", b"a")])
    content = archive.read_bytes()
    archive.write_bytes(gzip.compress(content + bytes(10 * 2**20)))
    assert extract_archive(archive, tmp_path / "out", "top").is_dir()
    archive.write_bytes(gzip.compress(content + bytes(40 * 2**20)))
    with pytest.raises(ValueError, match=r"data\.tar goes on for more than 16,777,216 bytes after its end"):
        extract_archive(archive, tmp_path / "other", "top")


@pytest.mark.parametrize("content", [b"", b"PK", b"PK" + bytes(5000), b"\x1f\x8b", b"Rar!" + os.urandom(3000)])
def test_a_file_that_is_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data.zip").write_bytes(content)
    with pytest.raises(ValueError, match=r"data\.zip is no zip or tar archive, or is damaged .*Download it again"):
        extract_archive(tmp_path / "data.zip", tmp_path / "out", "top")
    assert names_in(tmp_path) == ["data.zip"]


def test_a_web_page_in_the_place_of_an_archive(tmp_path: Path) -> None:
    (tmp_path / "data.tgz").write_bytes(b"\n<!DOCTYPE html><title>Too many downloads</title>" * 100)
    with pytest.raises(ValueError, match=r"data\.tgz is a web page and no archive: open it in a browser"):
        extract_archive(tmp_path / "data.tgz", tmp_path / "out", "top")


@pytest.mark.parametrize("kind", KINDS)
def test_the_name_of_the_file_does_not_matter(tmp_path: Path, kind: str) -> None:
    archive = make_archive(tmp_path, kind, [("top/a.txt", b"a")]).rename(tmp_path / "download (1)")
    assert (extract_archive(archive, tmp_path / "out", "top") / "a.txt").read_bytes() == b"a"


@pytest.mark.parametrize("kind", KINDS)
def test_another_archive(tmp_path: Path, kind: str) -> None:
    archive = make_archive(tmp_path, kind, [("cars/a.txt", b"a"), ("boats/b.txt", b"b")])
    with pytest.raises(ValueError, match=r"has no folder 'top'; at its top are: boats, cars"):
        extract_archive(archive, tmp_path / "out", "top")
