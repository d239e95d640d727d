"""Thumbnails are served only of images that the index has and that exist in its folder."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from hf_vitret.indexing.image_index import ImageIndex
from hf_vitret.workflows.serving.thumbnails import SIDE, Thumbnails

from .small_server import photo


def test_pictures_are_small_and_only_of_what_is_in_the_index(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    photo(0, side=900).crop((0, 0, 900, 300)).save(folder / "wide.png")
    photo(1).save(tmp_path / "outside.png")
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "text.png").write_text("no image")
    photo(2).save(folder / "removed.png")
    paths = ["wide.png", "../outside.png", "link.png", "text.png", "removed.png", "lost.png", str(folder / "wide.png")]
    paths += [str(tmp_path / "outside.png"), "a\0.png", None]
    rows = np.eye(len(paths), dtype=np.float32)
    index = ImageIndex.build(rows, range(len(paths)), metadata=pa.table({"path": paths}), backend="torch")
    index.remove([4])
    thumbnails = Thumbnails(index, folder)
    content = thumbnails.jpeg(0)
    assert content is not None
    with Image.open(io.BytesIO(content)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (SIDE, round(SIDE / 3)))
    shown = [row for row in range(-2, len(paths) + 2) if thumbnails.jpeg(row) is not None]
    assert shown == [0, 6]  # row 6 has an absolute path inside the folder
    assert Thumbnails(index, None).jpeg(0) is None
