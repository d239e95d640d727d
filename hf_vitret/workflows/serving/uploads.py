"""Decode an untrusted uploaded file to an image, within limits of pixels and decoding time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...models.image_decoding import ImageSizeError, TooManyPixelsError, decode_image
from ...models.image_formats import UnsupportedFormatError, find_format
from .error_answers import RefusedRequest

if TYPE_CHECKING:
    from typing import BinaryIO

    from PIL import Image

# What the page offers; other formats of `hf_vitret.models.image_formats.DECODED` are accepted too.
MEDIA_TYPES = (
    "image/jpeg",
    "image/png",
    "image/webp",
    "image/gif",
    "image/bmp",
    "image/tiff",
    "image/avif",
    "image/heic",
)
FORMAT_NAMES = "JPEG, PNG, WebP, GIF, BMP, TIFF or AVIF"


def read_upload(file: BinaryIO, max_pixels: int) -> Image.Image:
    """Decode an uploaded file to an upright RGB image, as the images of an index are decoded.

    The file is passed only to the decoder of its first bytes; the name and the content type that the client sends are
    ignored.

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
    try:
        return decode_image(content, max_pixels=max_pixels)
    except UnsupportedFormatError as error:
        raise RefusedRequest(415, f"{error}. Send an image in {FORMAT_NAMES}") from error
    except TooManyPixelsError as error:
        raise RefusedRequest(413, str(error)) from error
    except ImageSizeError as error:
        raise RefusedRequest(422, str(error)) from error
    except ValueError as error:
        name = find_format(content) or "image"
        raise RefusedRequest(
            422, f"expected a complete image; the {name} file is damaged or cut short. Send another file"
        ) from error
