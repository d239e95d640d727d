"""An uploaded file, made an image; whatever it is, it costs no more than an image of the largest size."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from PIL import Image

from ...data.images import MAX_ASPECT, to_rgb
from .refusals import RefusedRequest

if TYPE_CHECKING:
    from typing import BinaryIO

# How each format begins. A file is given to the decoder of its format alone: Pillow has dozens, one of which starts a
# program; and neither a name nor a content type of the sender's is looked at.
BEGINNINGS = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    "BMP": re.compile(rb"BM"),
}
MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp")
FORMAT_NAMES = "JPEG, PNG, WebP, GIF or BMP"
# A progressive JPEG is decoded once for each of its scans, of which cameras and programs write about ten: a small file
# of thousands would take minutes. What begins a scan is never part of compressed data.
SCAN = b"\xff\xda"
MAX_SCANS = 100


def read_upload(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Decode an uploaded file as a viewer shows it, of an animation the first picture.

    Args:
        file: Its content, from the start.
        max_pixels: More are not decoded.

    Returns:
        A new image of mode RGB.

    Raises:
        RefusedRequest: It is empty, damaged or of a shape that is no picture's (422), no image of a format that is
            taken (415), or too large (413).
    """
    content = file.read()
    if not content:
        raise RefusedRequest(422, "expected an image; the file is empty")
    name = format_of(content)
    if name is None:
        raise RefusedRequest(415, f"expected an image, {FORMAT_NAMES}; the file is none of them")
    if name == "JPEG" and content.count(SCAN) > MAX_SCANS:
        raise RefusedRequest(422, f"expected a JPEG of at most {MAX_SCANS} scans; the file has more")
    try:
        with Image.open(io.BytesIO(content), formats=(name,)) as image:
            _check_size(image.size, max_pixels)
            image.load()
            return to_rgb(image)
    except RefusedRequest:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RefusedRequest(413, _too_large(max_pixels)) from error
    # Decoders raise what they like (SyntaxError, struct.error ...); whatever it is, the image is unreadable.
    except Exception as error:
        raise RefusedRequest(422, f"expected a whole image; the {name} file is damaged or cut short") from error


def format_of(content: bytes) -> str | None:
    """Tell the format of a file by its first bytes; None where it is not one of those that are taken."""
    return next((name for name, beginning in BEGINNINGS.items() if beginning.match(content)), None)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise RefusedRequest(413, f"{_too_large(max_pixels)}; got {width} x {height}")
    if max(size) > MAX_ASPECT * min(size):
        raise RefusedRequest(
            422, f"expected an image at most {MAX_ASPECT} times as long as wide; got {width} x {height}"
        )


def _too_large(max_pixels: int) -> str:
    return f"expected an image of at most {max_pixels / 1e6:,.6g} megapixels"
