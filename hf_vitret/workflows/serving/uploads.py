"""Decode an untrusted uploaded file to an image, within limits of pixels and decoding time."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from PIL import Image

from ...data.images import MAX_ASPECT, to_rgb
from .error_answers import RefusedRequest

if TYPE_CHECKING:
    from typing import BinaryIO

# The first bytes of each format. A file is passed only to the decoder of its format: Pillow has dozens of decoders, one
# of which runs an external program. The file name and content type that the client sends are ignored.
BEGINNINGS = {
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WEBP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "GIF": re.compile(rb"GIF8[79]a"),
    "BMP": re.compile(rb"BM"),
}
MEDIA_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp")
FORMAT_NAMES = "JPEG, PNG, WebP, GIF or BMP"
# A progressive JPEG is decoded once for each of its scans. Cameras and programs write about ten; a small file with
# thousands of scans would take minutes. The marker of a scan does not occur inside compressed data.
SCAN = b"\xff\xda"
MAX_SCANS = 100


def read_upload(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Decode an uploaded file to an upright RGB image; of an animation, the first frame.

    Args:
        file: The file, from its start.
        max_pixels: Largest number of pixels; a larger image is not decoded.

    Returns:
        A new image of mode RGB.

    Raises:
        RefusedRequest: The file is empty, damaged, or too narrow for an image (422), it has no supported format (415),
            or it has too many pixels (413).
    """
    content = file.read()
    if not content:
        raise RefusedRequest(422, "expected an image; the file is empty. Send another file")
    name = format_of(content)
    if name is None:
        raise RefusedRequest(
            415, f"expected an image in {FORMAT_NAMES}; the file has none of these formats. Convert the image"
        )
    if name == "JPEG" and content.count(SCAN) > MAX_SCANS:
        raise RefusedRequest(
            422, f"expected a JPEG of at most {MAX_SCANS} scans; the file has more. Save it as a baseline JPEG"
        )
    try:
        with Image.open(io.BytesIO(content), formats=(name,)) as image:
            _check_size(image.size, max_pixels)
            image.load()
            return to_rgb(image)
    except RefusedRequest:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise RefusedRequest(413, f"{_pixel_limit(max_pixels)}; got more. Reduce its size") from error
    # Decoders raise errors of many classes (SyntaxError, struct.error, ...), each of which means an unreadable image.
    except Exception as error:
        raise RefusedRequest(
            422, f"expected a complete image; the {name} file is damaged or cut short. Send another file"
        ) from error


def format_of(content: bytes) -> str | None:
    """Detect the format of a file by its first bytes.

    Args:
        content: The file.

    Returns:
        A key of `BEGINNINGS`; `None` if the file has none of these formats.
    """
    return next((name for name, beginning in BEGINNINGS.items() if beginning.match(content)), None)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise RefusedRequest(413, f"{_pixel_limit(max_pixels)}; got {width} x {height} pixels. Reduce its size")
    if max(size) > MAX_ASPECT * min(size):
        raise RefusedRequest(
            422,
            f"expected an image whose longer side is at most {MAX_ASPECT} times the shorter; got {width} x {height} "
            "pixels. Crop the image",
        )


def _pixel_limit(max_pixels: int) -> str:
    return f"expected an image of at most {max_pixels / 1e6:,.6g} megapixels"
