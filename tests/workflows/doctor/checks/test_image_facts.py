"""Every oddity of an image file is reported, and ordinary files have none."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hf_vitret.workflows.doctor.checks import image_facts as module
from hf_vitret.workflows.doctor.checks.image_facts import image_facts, pixel_digest, without_pixel_limit

from ..pictures import encode, picture


def facts_of(content, **limits):
    limits = {"max_megapixels": 89, "min_side": 32, **limits}
    with without_pixel_limit():
        return image_facts({"bytes": content, "path": None}, **limits)


def oddities_of(content, **limits):
    return facts_of(content, **limits).oddities


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(picture(0), "JPEG", exif=exif)


def png_header(width, height):
    """Make a PNG that declares a size and contains no pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(b"")
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


FRAMES = {"save_all": True, "append_images": [picture(1), picture(2)]}


@pytest.mark.parametrize(
    ("content", "kind", "detail"),
    [
        (encode(picture(0).convert("CMYK"), "JPEG"), "cmyk", "JPEG, mode CMYK"),
        (encode(picture(0).convert("P"), "PNG"), "palette", "PNG, mode P"),
        (encode(Image.fromarray(np.arange(6400, dtype=np.uint16).reshape(80, 80)), "PNG"), "sixteen_bit", "PNG"),
        (encode(Image.fromarray(np.eye(64, dtype=np.float32)), "TIFF"), "sixteen_bit", "TIFF, mode F"),
        (encode(picture(0).convert("LAB"), "TIFF"), "other_mode", "TIFF, mode LAB"),
        (encode(picture(0), "WEBP", **FRAMES), "animated", "WEBP of 3 frames"),
        (encode(picture(0), "PNG", **FRAMES), "animated", "PNG of 3 frames"),
        (turned(6), "exif_rotated", "EXIF orientation 6"),
        (turned(2), "exif_rotated", "EXIF orientation 2"),
        (encode(picture(0, (100, 31))), "tiny", "100 x 31 pixels, less than 32"),
        (encode(Image.new("RGB", (64, 64), (9, 200, 7)), "JPEG"), "blank", "64 x 64 pixels of one colour"),
        (encode(Image.new("RGBA", (64, 64), (0, 0, 0, 0))), "blank", "64 x 64 pixels of one colour"),
        (png_header(20_000, 20_000), "giant", "20000 x 20000 pixels: 400.0 megapixels, more than 89"),
        (png_header(10_000, 9_000), "giant", "10000 x 9000 pixels: 90.0 megapixels, more than 89"),
        (b"", "unreadable", "empty file"),
        (
            b"<html>not found</html>",
            "unreadable",
            "expected an image; the file is HTML, such as the error page of a download",
        ),
        (encode(picture(0), "JPEG")[:900], "unreadable", "OSError: "),
        (encode(picture(0), "PNG")[:2000], "unreadable", "OSError: "),
        (png_header(64, 64), "unreadable", "OSError: "),
    ],
)
def test_each_oddity(content, kind, detail):
    [(found, text)] = oddities_of(content)
    assert (found, text[: len(detail)]) == (kind, detail)


def test_an_animated_gif_has_a_palette_too():
    assert [kind for kind, _ in oddities_of(encode(picture(0), "GIF", **FRAMES))] == ["palette", "animated"]


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "1"])
def test_plain_modes_are_not_odd(mode):
    assert oddities_of(encode(picture(0).convert(mode))) == []


def test_a_phone_picture_with_a_second_view_is_not_animated():
    assert oddities_of(encode(picture(0), "MPO", **FRAMES)) == []


def test_an_upright_orientation_is_not_odd():
    assert oddities_of(turned(1)) == []


def test_limits_are_the_given_ones():
    content = encode(picture(0, (40, 50)))
    assert oddities_of(content, min_side=40, max_megapixels=0.002) == []
    assert [kind for kind, _ in oddities_of(content, min_side=41)] == ["tiny"]
    assert [kind for kind, _ in oddities_of(content, max_megapixels=0.001999)] == ["giant"]


def test_the_limit_of_pillow_comes_back():
    before = Image.MAX_IMAGE_PIXELS
    with pytest.raises(KeyError), without_pixel_limit():
        assert Image.MAX_IMAGE_PIXELS is None
        raise KeyError
    assert before == Image.MAX_IMAGE_PIXELS is not None


@pytest.mark.parametrize("stored", [None, {"bytes": None, "path": None}, {"bytes": None, "path": ""}])
def test_no_image(stored):
    facts = image_facts(stored, max_megapixels=89, min_side=32)
    assert facts == (None, None, [("unreadable", "no image (null)")])


def test_files_and_addresses_are_read(tmp_path):
    (tmp_path / "a.png").write_bytes(encode(picture(0)))
    expected = facts_of(encode(picture(0)))
    for path in (str(tmp_path / "a.png"), (tmp_path / "a.png").as_uri()):
        facts = image_facts({"bytes": None, "path": path}, max_megapixels=89, min_side=32)
        assert facts.file_digest == expected.file_digest
        assert facts.fingerprint.perceptual_hash == expected.fingerprint.perceptual_hash
    for path in (str(tmp_path / "b.png"), (tmp_path / "b.png").as_uri()):
        [(kind, detail)] = image_facts({"bytes": None, "path": path}, max_megapixels=89, min_side=32).oddities
        assert (kind, detail.partition(":")[0]) == ("unreadable", "FileNotFoundError")


def test_a_large_jpeg_is_decoded_small(monkeypatch):
    decoded = []
    monkeypatch.setattr(module, "to_rgb", lambda image: decoded.append(image.size) or image)
    assert facts_of(encode(picture(0, (1600, 1200)), "JPEG")).fingerprint.size == (1600, 1200)
    assert decoded == [(200, 150)]  # an eighth, the smallest scale at which a JPEG can be decoded


@pytest.mark.parametrize("orientation", range(1, 9))
def test_sizes_are_upright(orientation):
    image = Image.open(io.BytesIO(turned(orientation)))
    expected = image.size if orientation < 5 else image.size[::-1]
    assert facts_of(turned(orientation)).fingerprint.size == expected


def test_pixels_are_the_same_however_they_are_stored():
    def digest(content):
        return pixel_digest({"bytes": content, "path": None})

    jpeg = encode(picture(0, (400, 300)), "JPEG", quality=90)
    decoded = Image.open(io.BytesIO(jpeg)).convert("RGB")
    assert digest(jpeg) == digest(encode(decoded, "PNG")) == digest(encode(decoded, "BMP"))
    changed = decoded.copy()
    changed.putpixel((399, 299), tuple(255 - value for value in changed.getpixel((399, 299))))
    assert digest(encode(changed)) != digest(jpeg)
    black = [digest(encode(Image.new("RGB", size))) for size in ((20, 30), (30, 20), (60, 10))]
    assert len(set(black)) == 3  # equal bytes of pixels in images of different shapes
