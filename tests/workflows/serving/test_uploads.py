"""Uploads are decoded to the images that `read_image` reads from the same files, or refused with a message."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from hf_vitret.data.images import read_image
from hf_vitret.models.image_decoding import MAX_SCANS
from hf_vitret.workflows.serving.error_answers import RefusedRequest
from hf_vitret.workflows.serving.uploads import read_upload

from .malformed import malformed_uploads, png_of_size
from .small_server import encoded, photo

MAX_PIXELS = 10_000
SCAN = b"\xff\xda"  # marker of a scan in a JPEG


def read(content: bytes, max_pixels: int = MAX_PIXELS) -> Image.Image:
    return read_upload(io.BytesIO(content), max_pixels)


def refusal(content: bytes, max_pixels: int = MAX_PIXELS) -> RefusedRequest:
    with pytest.raises(RefusedRequest) as caught:
        read(content, max_pixels)
    return caught.value


def rotated() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    return exif


@pytest.mark.parametrize(
    "content",
    [
        encoded(photo(0)),
        encoded(photo(0), "JPEG"),
        encoded(photo(0), "JPEG", progressive=True),
        encoded(photo(0).crop((0, 0, 48, 30)), "JPEG", exif=rotated()),
        encoded(photo(0).convert("CMYK"), "JPEG"),
        encoded(photo(0), "MPO", save_all=True, append_images=[photo(1)]),
        encoded(photo(0), "WEBP"),
        encoded(photo(0), "BMP"),
        encoded(photo(0), "GIF", save_all=True, append_images=[photo(1)]),
        encoded(photo(0), "TIFF"),
        encoded(photo(0), "PPM"),
        encoded(photo(0), "TGA"),
        encoded(photo(0), "AVIF"),
        encoded(photo(0).convert("RGBA")),
        encoded(photo(0).convert("1")),
        encoded(Image.fromarray(np.arange(900, dtype=np.uint16).reshape(30, 30) * 70)),
    ],
)
def test_an_image_is_read_as_for_the_index(content: bytes) -> None:
    image = read(content)
    assert image.mode == "RGB"
    assert image.tobytes() == read_image({"bytes": content, "path": None}).tobytes()


@pytest.mark.parametrize(
    "content",
    [
        b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        b"%PDF-1.7",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"hello",
        b"\0",
    ],
)
def test_what_is_no_image_of_a_known_format_is_415(content: bytes) -> None:
    assert refusal(content).status == 415


def test_more_pixels_than_are_allowed_are_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(encoded(Image.new("L", (100, 100)))).size == (100, 100)
    assert refusal(encoded(Image.new("L", (100, 101)))).status == 413
    decoded = []
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: decoded.append(image.size))
    for side in (5_000, 12_000, 20_000, 2**31 - 1):  # Pillow itself warns about the second and refuses the third
        error = refusal(png_of_size(side, side), 64_000_000 if side > 5_000 else MAX_PIXELS)
        assert error.status == 413
        assert error.message.startswith("expected at most ")
    assert decoded == []


def test_a_line_that_would_be_resized_to_more_than_any_memory_is_refused() -> None:
    assert read(encoded(Image.new("L", (100, 2)))).size == (100, 2)
    for size in ((2, 101), (9_999, 1)):
        message = refusal(encoded(Image.new("L", size))).message
        assert "expected sides of at most 50 to 1; got " in message


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    content = encoded(photo(0), "JPEG", progressive=True)
    last = content[content.rindex(SCAN) : -2]
    assert read(content[:-2] + 9 * last + content[-2:]).size == (48, 48)
    assert refusal(content[:-2] + MAX_SCANS * last + content[-2:]).status == 422


def test_no_file_raises_anything_else() -> None:
    for name, content in malformed_uploads(300, seed=1):
        assert refusal(content).status in (413, 415, 422), name


def test_a_compressed_comment_does_not_grow_in_memory() -> None:
    text = zlib.compress(b"\0" * 2**24, 9)
    chunk = b"zTXtComment\0\0" + text
    whole = encoded(photo(0))
    bomb = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    assert refusal(whole[:33] + bomb + whole[33:]).status == 422
