"""Checks before training find and name every bad file."""

import io

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from PIL import Image as PilImage
from PIL import ImageFile

from hf_vitret.data import check_images, find_bad_images, read_image
from hf_vitret.data.image_checks import mend_image


def noise(file_format, side=64):
    stream = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    PilImage.fromarray(values).save(stream, file_format)
    return stream.getvalue()


def make_split(images):
    rows = {
        "image": images,
        "label": [0] * len(images),
        "image_id": [f"id{row}" for row in range(len(images))],
    }
    return Dataset.from_dict(rows, features=Features(image=Image(), label=Value("int64"), image_id=Value("string")))


@pytest.mark.parametrize("num_threads", [None, 1, 3])
def test_good_images_pass(tmp_path, num_threads):
    (tmp_path / "a.jpg").write_bytes(noise("JPEG"))
    stored = [{"bytes": noise(name), "path": None} for name in ("PNG", "JPEG", "WEBP", "GIF")] * 8
    check_images(make_split([*stored, {"bytes": None, "path": str(tmp_path / "a.jpg")}]), num_threads=num_threads)


@pytest.mark.parametrize("as_file", [False, True])
@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_truncated_images_are_found(tmp_path, file_format, as_file):
    content = noise(file_format)
    for share in (0.1, 0.5, 0.9):
        part = content[: int(len(content) * share)]
        (tmp_path / "part").write_bytes(part)
        image = {"bytes": None, "path": str(tmp_path / "part")} if as_file else {"bytes": part, "path": None}
        with pytest.raises(
            ValueError, match=r"1 of 2 images cannot be read:\n  row 1, id1( \(.*part\))?: (\w+: |damaged \w+ file)"
        ):
            check_images(make_split([{"bytes": content, "path": None}, image]))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"bytes": b"", "path": None}, "empty file"),
        ({"bytes": b"<html>not found</html>", "path": None}, "expected an image; the file is HTML"),
        ({"bytes": None, "path": "nowhere/a.jpg"}, "FileNotFoundError: "),
        (None, r"no image \(null\)"),
    ],
)
def test_each_fault_is_named(image, reason):
    with pytest.raises(
        ValueError, match=rf"1 of 1 images cannot be read:\n  row 0, id0( \(nowhere/a\.jpg\))?: {reason}"
    ):
        check_images(make_split([image]))


def test_a_struct_of_nulls_is_named():
    nulls = Features(image={"bytes": Value("binary"), "path": Value("string")}, image_id=Value("string"))
    rows = {"image": [{"bytes": None, "path": None}], "image_id": ["a"]}
    split = Dataset.from_dict(rows, features=nulls).cast_column("image", Image())
    with pytest.raises(ValueError, match=r"row 0, a: no image \(null\)"):
        check_images(split)


def test_rows_are_those_of_the_split_and_only_ten_are_named():
    good, bad = {"bytes": noise("PNG"), "path": None}, {"bytes": b"x", "path": None}
    split = make_split([bad, *[good, bad] * 12]).select(range(1, 25))  # bad: rows 1, 3, ... 23 of the selection
    with pytest.raises(ValueError, match="12 of 24 images cannot be read") as caught:
        check_images(split, num_threads=2)
    lines = str(caught.value).split("\n")
    assert [line.split(":")[0] for line in lines[1:11]] == [f"  row {row}, id{row + 1}" for row in range(1, 21, 2)]
    assert lines[11] == "  ... and 2 more"
    assert "Mend or remove these files" in lines[12]


def test_a_file_is_named_beside_its_id(tmp_path):
    (tmp_path / "cut.png").write_bytes(noise("PNG")[:200])
    split = make_split([{"bytes": noise("PNG"), "path": None}, {"bytes": None, "path": str(tmp_path / "cut.png")}])
    (bad,) = find_bad_images(split)
    assert (bad.row, bad.image_id, bad.path) == (1, "id1", str(tmp_path / "cut.png"))
    assert f"row 1, id1 ({tmp_path / 'cut.png'}): " in str(bad)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 100, "subsampling": 0}])
@pytest.mark.parametrize("lost", [1, 2, 300, 1_500])
@pytest.mark.parametrize("as_file", [False, True])
def test_truncated_jpegs_are_mended(tmp_path, monkeypatch, options, lost, as_file):
    """The pixels are those of Pillow with the setting that takes truncated files."""
    stream = io.BytesIO()
    values = np.random.default_rng(0).integers(0, 256, (64, 80, 3), dtype=np.uint8)
    PilImage.fromarray(values).save(stream, "JPEG", **options)
    cut = stream.getvalue()[:-lost]
    (tmp_path / "cut.jpg").write_bytes(cut)
    stored = {"bytes": None, "path": str(tmp_path / "cut.jpg")} if as_file else {"bytes": cut, "path": "cut.jpg"}
    with pytest.raises(ValueError, match="truncated"):
        read_image(stored)
    mended = mend_image(stored)
    assert mended["path"] is None
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert np.array_equal(np.asarray(read_image(mended)), np.asarray(PilImage.open(io.BytesIO(cut))))
    assert (tmp_path / "cut.jpg").read_bytes() == cut


JPEG = noise("JPEG")


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"<html>not found</html>",
        noise("PNG")[:-200],
        noise("WEBP")[:-200],
        noise("TIFF")[:-200],
        JPEG,  # whole
        JPEG[:2] + JPEG[-2:],  # has its end marker
        JPEG[:100],  # without a complete header
        JPEG[: JPEG.index(b"\xff\xda") + 2],  # without any part of its picture
        JPEG[: JPEG.index(b"\xff\xda") + 14],
        JPEG[: JPEG.index(b"\xff\xda") + 100],  # of which a few blocks are left
    ],
)
def test_other_damage_is_not_mended(content):
    assert mend_image({"bytes": content, "path": None}) is None
    assert mend_image(None) is None
    assert mend_image({"bytes": None, "path": "nowhere/a.jpg"}) is None


def test_what_can_be_mended_is_marked_where_that_is_asked():
    split = make_split([{"bytes": content, "path": None} for content in (JPEG[:-2], JPEG, b"gone", JPEG[:-99])])
    assert [(bad.row, bad.is_mendable) for bad in find_bad_images(split, mend=True)] == [
        (0, True),
        (2, False),
        (3, True),
    ]
    assert [(bad.row, bad.is_mendable) for bad in find_bad_images(split)] == [(0, False), (2, False), (3, False)]
