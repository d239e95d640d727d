"""Images of every mode become the RGB that a viewer shows, from every form in which `datasets` stores them."""

import io

import numpy as np
import pytest
from PIL import Image as PilImage
from PIL import ImageOps

from hf_vitret.data import read_image, to_rgb

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
    ramp = np.arange(0, 65536, 257, dtype=np.uint16).reshape(16, 16)  # each 8-bit value once
    found = pixels(to_rgb(reopen(PilImage.fromarray(ramp), "PNG")))
    assert found[..., 0].ravel().tolist() == list(range(256))


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


def photograph(width, height):
    """Draw a picture with details of all sizes, like a photograph."""
    rng = np.random.default_rng(0)
    layers = [
        PilImage.fromarray(rng.integers(0, 256, (2**power, 2**power, 3), dtype=np.uint8)).resize((width, height))
        for power in range(2, 10)
    ]
    return PilImage.fromarray(np.mean([np.asarray(layer, dtype=np.float32) for layer in layers], 0).astype(np.uint8))


def encode(image, file_format="JPEG", **options):
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


@pytest.mark.parametrize("file_format", ["PNG", "JPEG", "WEBP"])
def test_reads_bytes_files_and_urls(tmp_path, file_format):
    content = encode(photograph(40, 30), file_format)
    (tmp_path / "image").write_bytes(content)
    expected = pixels(PilImage.open(io.BytesIO(content)).convert("RGB")).tolist()
    for stored in (
        {"bytes": content, "path": "elsewhere"},
        {"bytes": None, "path": str(tmp_path / "image")},
        {"bytes": None, "path": (tmp_path / "image").as_uri()},
    ):
        assert pixels(read_image(stored)).tolist() == expected


@pytest.mark.parametrize(
    ("short_side", "scale"), [(32, 8), (50, 8), (51, 4), (100, 4), (101, 2), (200, 2), (201, 1), (400, 1), (1000, 1)]
)
def test_a_jpeg_is_decoded_at_no_less_than_the_size_asked_for(short_side, scale):
    stored = {"bytes": encode(photograph(600, 400)), "path": None}
    assert read_image(stored, short_side).size == (600 // scale, 400 // scale)
    tall = {"bytes": encode(photograph(400, 600)), "path": None}
    assert read_image(tall, short_side).size == (400 // scale, 600 // scale)
    assert read_image(stored).size == (600, 400)


def test_other_formats_are_decoded_at_their_size():
    assert read_image({"bytes": encode(photograph(600, 400), "PNG"), "path": None}, 16).size == (600, 400)


def test_decoded_at_twice_the_size_and_resized_is_nearly_resized():
    """The difference is smaller than that of an image before and after a light JPEG compression."""
    image = photograph(800, 600)
    content = encode(image, quality=95, subsampling=0)
    plain, small = read_image({"bytes": content, "path": None}), read_image({"bytes": content, "path": None}, 300)
    assert small.size == (400, 300)
    plain, small = [part.resize((200, 150), PilImage.Resampling.BICUBIC) for part in (plain, small)]
    again = read_image({"bytes": encode(plain, quality=95), "path": None})
    difference, yardstick = [np.abs(pixels(plain).astype(int) - pixels(other)).mean() for other in (small, again)]
    assert difference < yardstick


@pytest.mark.parametrize("short_side", [None, 40])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_jpeg_is_turned_back(orientation, short_side):
    exif = PilImage.Exif()
    exif[0x0112] = orientation
    content = encode(photograph(160, 80), exif=exif)
    whole = ImageOps.exif_transpose(PilImage.open(io.BytesIO(content)))
    read = read_image({"bytes": content, "path": None}, short_side)
    scale = 1 if short_side is None else 2
    assert read.size == (whole.size[0] // scale, whole.size[1] // scale)
    expected = np.asarray(whole.reduce(scale)).astype(int)
    assert np.abs(pixels(read) - expected).mean() < np.abs(pixels(read)[::-1, ::-1] - expected).mean() / 4
    assert pixels(ImageOps.exif_transpose(read)).tolist() == pixels(read).tolist()  # not to be turned twice


def test_a_cmyk_jpeg_shows_its_colours():
    content = encode(PilImage.new("RGB", (16, 16), (200, 30, 60)).convert("CMYK"), quality=95)
    assert np.abs(pixels(read_image({"bytes": content, "path": None})).astype(int) - (200, 30, 60)).max() < 6


@pytest.mark.parametrize(
    ("stored", "reason"),
    [
        ({"bytes": b"", "path": None}, "^empty file$"),
        ({"bytes": b"<html>", "path": None}, "^expected an image; the file is HTML"),
        ({"bytes": b"abc", "path": None}, "^expected an image; the file has no known format$"),
        ({"bytes": None, "path": "nowhere/a.jpg"}, r"^FileNotFoundError: .*nowhere/a\.jpg"),
        ({"bytes": None, "path": None}, r"^no image \(null\)$"),
        (None, r"^no image \(null\)$"),
    ],
)
def test_what_cannot_be_read_is_an_error(stored, reason):
    with pytest.raises(ValueError, match=reason):
        read_image(stored)


@pytest.mark.parametrize(
    ("size", "is_read"), [((1, 50), True), ((100, 2), True), ((1, 51), False), ((5_000, 2), False)]
)
def test_a_strip_that_no_memory_would_hold_once_resized_is_refused(size, is_read):
    stream = io.BytesIO()
    PilImage.new("RGB", size).save(stream, "PNG")
    stored = {"bytes": stream.getvalue(), "path": None}
    if is_read:
        assert read_image(stored).size == size
    else:
        with pytest.raises(ValueError, match=rf"at most 50 to 1; got {size[0]} x {size[1]} pixels"):
            read_image(stored)
