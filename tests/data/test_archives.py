"""Archives: what is extracted, and every attack is refused before a byte is written."""

import stat
import zipfile

import pytest

from hf_vitret.data.archives import extract_zip


def make_zip(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def test_extracts_the_root_folder_alone_and_only_once(tmp_path):
    members = [("top/a.txt", b"a"), ("top/deep/er/b.txt", b"b" * 100_000), ("__MACOSX/._a.txt", b"x")]
    archive = make_zip(tmp_path / "data.zip", members)
    target = extract_zip(archive, tmp_path / "out", "top")
    assert {path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*.txt")} == {
        "a.txt": b"a",
        "deep/er/b.txt": b"b" * 100_000,
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.zip", "out"]
    archive.unlink()
    assert extract_zip(archive, target, "top") == target  # already there: the archive is not needed


@pytest.mark.parametrize(
    "name", ["/etc/evil", "top/../../evil", "..\\evil", "C:\\evil", "C:/evil", "\\\\server\\evil", "top/.."]
)
def test_a_member_that_leaves_the_target_is_refused(tmp_path, name):
    archive = make_zip(tmp_path / "data.zip", [("top/a.txt", b"a"), (name, b"evil")])
    with pytest.raises(
        ValueError, match=r"members that would land outside its folder, or are links: .*nothing was extracted"
    ):
        extract_zip(archive, tmp_path / "out", "top")
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]


def test_a_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("top/link")
    link.create_system = 3  # Unix: the mode is in external_attr
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = make_zip(tmp_path / "data.zip", [("top/a.txt", b"a"), (link, "/etc")])
    with pytest.raises(ValueError, match="or are links: top/link"):
        extract_zip(archive, tmp_path / "out", "top")
    assert not (tmp_path / "out").exists()


def test_a_bomb_is_refused_by_size_and_by_number(tmp_path):
    archive = make_zip(tmp_path / "data.zip", [(f"top/{i}.txt", b"0" * 1000) for i in range(20)])
    assert archive.stat().st_size < 10_000
    with pytest.raises(ValueError, match=r"20 files of 20,000 bytes, over the limits of 1,000,000 and 19,999"):
        extract_zip(archive, tmp_path / "out", "top", max_bytes=19_999)
    with pytest.raises(ValueError, match=r"20 files of 20,000 bytes, over the limits of 19 and"):
        extract_zip(archive, tmp_path / "out", "top", max_members=19)
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]


def test_a_header_that_understates_the_size_gains_nothing(tmp_path):
    archive = make_zip(tmp_path / "data.zip", [("top/a.txt", b"0" * 5000)])
    content = archive.read_bytes()
    lied = content.replace((5000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    assert lied != content
    archive.write_bytes(lied)
    with pytest.raises(ValueError, match="is damaged"):
        extract_zip(archive, tmp_path / "out", "top", max_bytes=100)
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]


def test_an_interruption_leaves_nothing_and_can_be_repeated(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "data.zip", [("top/a.txt", b"a"), ("top/b.txt", b"b")])
    copies = []

    def interrupt(source, sink):
        copies.append(sink.name)
        sink.write(source.read())
        if len(copies) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("hf_vitret.data.archives.shutil.copyfileobj", interrupt)
        with pytest.raises(KeyboardInterrupt):
            extract_zip(archive, tmp_path / "out", "top")
    assert [path.name for path in tmp_path.iterdir()] == ["data.zip"]
    assert len(list(extract_zip(archive, tmp_path / "out", "top").iterdir())) == 2


def test_another_process_may_be_first(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "data.zip", [("top/a.txt", b"late")])
    target = tmp_path / "out"

    def meanwhile(source, sink):
        target.mkdir()
        (target / "a.txt").write_bytes(b"first")
        sink.write(source.read())

    monkeypatch.setattr("hf_vitret.data.archives.shutil.copyfileobj", meanwhile)
    assert (extract_zip(archive, target, "top") / "a.txt").read_bytes() == b"first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data.zip", "out"]


def test_a_download_that_was_cut_off(tmp_path):
    archive = make_zip(tmp_path / "data.zip", [("top/a.txt", bytes(range(256)) * 50)])
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"is no zip archive or is damaged .*Download it again"):
        extract_zip(archive, tmp_path / "out", "top")


def test_another_archive(tmp_path):
    archive = make_zip(tmp_path / "data.zip", [("cars/a.txt", b"a"), ("boats/b.txt", b"b")])
    with pytest.raises(ValueError, match=r"has no folder 'top'; at its top are: boats, cars"):
        extract_zip(archive, tmp_path / "out", "top")
