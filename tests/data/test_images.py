"""Every image mode becomes the RGB that a viewer shows; every bad file is found before training."""

import io

import numpy as np
import pytest
from datasets import Dataset, Features, Image, Value
from PIL import Image as PilImage

from hf_vitret.data import check_images, to_rgb

RED, HALF_RED_ON_WHITE = (255, 0, 0), (255, 127, 127)


def pixels(image):
    assert image.mode == "RGB"
    return np.asarray(image)


def reopen(image, file_format, **options):
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return PilImage.open(io.BytesIO(stream.getvalue()))


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGB", RED, RED),
        ("L", 100, (100, 100, 100)),
        ("1", 1, (255, 255, 255)),
        ("1", 0, (0, 0, 0)),
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (255, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (255, 0, 0, 128), HALF_RED_ON_WHITE),
        ("RGBa", (128, 0, 0, 128), HALF_RED_ON_WHITE),
        ("RGBX", (255, 0, 0, 0), RED),
        ("LA", (0, 0), (255, 255, 255)),
        ("LA", (0, 255), (0, 0, 0)),
        ("La", (0, 128), (127, 127, 127)),
        ("CMYK", (0, 255, 255, 0), RED),
        ("HSV", (0, 255, 255), RED),
        ("YCbCr", (76, 85, 255), (254, 0, 0)),
        ("I;16", 65535, (255, 255, 255)),
        ("I;16", 25700, (100, 100, 100)),
        ("I;16B", 25700, (100, 100, 100)),
        ("I", 25700, (100, 100, 100)),
        ("I", 10**6, (255, 255, 255)),
        ("F", 0.5, (128, 128, 128)),
        ("F", 100.0, (100, 100, 100)),
        ("F", -1.0, (0, 0, 0)),
        ("F", float("nan"), (0, 0, 0)),
        ("LAB", (255, 128, 128), (255, 255, 255)),
    ],
)
@pytest.mark.parametrize("size", [(1, 1), (5, 3)])
def test_each_mode(mode, colour, expected, size):
    found = pixels(to_rgb(PilImage.new(mode, size, colour)))
    assert found.shape == (size[1], size[0], 3)
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_palettes():
    image = PilImage.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert pixels(to_rgb(image)).tolist() == [[[255, 0, 0], [0, 0, 255]]]
    assert pixels(to_rgb(reopen(image, "PNG", transparency=1))).tolist() == [[[255, 0, 0], [255, 255, 255]]]
    assert pixels(to_rgb(reopen(image, "GIF", transparency=0))).tolist() == [[[255, 255, 255], [0, 0, 255]]]


def test_a_transparent_colour():
    image = PilImage.new("RGB", (2, 1), RED)
    image.putpixel((1, 0), (0, 0, 255))
    assert pixels(to_rgb(reopen(image, "PNG", transparency=RED))).tolist() == [[[255, 255, 255], [0, 0, 255]]]
    grey = PilImage.new("L", (1, 1), 7)
    assert pixels(to_rgb(reopen(grey, "PNG", transparency=7))).tolist() == [[[255, 255, 255]]]


def test_a_16_bit_png_is_scaled_and_not_clipped():
    ramp = np.arange(0, 65536, 257, dtype=np.uint16)[None]  # (1, 256): each 8-bit value once
    found = pixels(to_rgb(reopen(PilImage.fromarray(ramp), "PNG")))
    assert found[0, :, 0].tolist() == list(range(256))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation):
    upright = np.arange(6, dtype=np.uint8).reshape(2, 3)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }[orientation]
    exif = PilImage.Exif()
    exif[0x0112] = orientation
    rgb = to_rgb(reopen(PilImage.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif))
    assert pixels(rgb)[..., 0].tolist() == upright.tolist()
    assert pixels(to_rgb(rgb))[..., 0].tolist() == upright.tolist()  # not turned twice


def test_the_image_given_is_not_changed():
    image = PilImage.new("RGBA", (2, 2), (255, 0, 0, 128))
    before = image.tobytes()
    to_rgb(image).putpixel((0, 0), (1, 2, 3))
    rgb = PilImage.new("RGB", (1, 1), RED)
    to_rgb(rgb).putpixel((0, 0), (1, 2, 3))
    assert (image.mode, image.tobytes(), rgb.getpixel((0, 0))) == ("RGBA", before, RED)


# --- check_images


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
        with pytest.raises(ValueError, match=r"1 of 2 images cannot be read:\n  row 1, id1: \w+: "):
            check_images(make_split([{"bytes": content, "path": None}, image]))


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        ({"bytes": b"", "path": None}, "empty file"),
        ({"bytes": b"<html>not found</html>", "path": None}, "UnidentifiedImageError: "),
        ({"bytes": None, "path": "nowhere/a.jpg"}, "FileNotFoundError: "),
        (None, r"no image \(null\)"),
    ],
)
def test_each_fault_is_named(image, reason):
    with pytest.raises(ValueError, match=rf"1 of 1 images cannot be read:\n  row 0, id0: {reason}"):
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
