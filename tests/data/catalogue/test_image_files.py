"""Names of files that are not UTF-8, and links that lead outside a folder: in the catalogue and in `embed`."""

import logging
import os
from pathlib import Path

import pytest

from hf_vitret.data.catalogue.catalogue import load_catalogue
from hf_vitret.data.catalogue.image_files import find_images, require_utf8
from hf_vitret.embedding.sources.opening import open_source


def write(root: Path, *names: bytes) -> Path:
    for name in names:
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x89PNG\r\n\x1a\n")
    return root


@pytest.mark.parametrize("name", [b"b/caf\xe9.png", b"caf\xe9/1.png"])
@pytest.mark.parametrize("kind", ["catalogue", "folder", "pattern"])
def test_a_name_that_is_not_utf8_is_named(tmp_path, name, kind):
    try:
        folder = write(tmp_path / "p", b"a/1.png", b"a/2.png", "b/größe.png".encode(), name)
    except OSError:
        pytest.skip("this file system stores no such name")
    written = name.decode("utf-8", "backslashreplace").replace("\\", r"\\")
    words = rf"expected names of files in UTF-8.*; 1 of 4 images have others: {written}\. Rename them"
    with pytest.raises(ValueError, match=words):
        if kind == "catalogue":
            load_catalogue(folder)
        else:
            open_source(folder if kind == "folder" else f"{folder}/*/*.png")


def test_names_in_utf8():
    require_utf8(["größe.png", "杯/🍵.png"], "x")
    require_utf8([], "x")


def test_links_that_lead_outside_are_said(tmp_path, caplog):
    write(tmp_path, b"p/a/1.png", b"other/2.png", b"p2/3.png")
    (tmp_path / "p" / "inside").symlink_to("a")
    with caplog.at_level(logging.WARNING):
        assert len(find_images(tmp_path / "p")) == 1
    assert "links to outside" not in caplog.text
    (tmp_path / "p" / "b").symlink_to(tmp_path / "other")
    (tmp_path / "p" / "c").symlink_to("../p2")
    (tmp_path / "link").symlink_to("p")
    for folder in ("p", "link"):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert len(find_images(tmp_path / folder)) == 3
        assert "read 2 folders that are links to outside it: " in caplog.text
        assert f"b, which is {tmp_path}/other" in caplog.text
        assert f"c, which is {tmp_path}/p2" in caplog.text
