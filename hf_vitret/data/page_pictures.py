"""Encode small pictures for HTML pages, as JPEG and as `data:` URI."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_QUALITY = 80  # a picture with a side of 128 pixels takes about 5 kB


def as_jpeg(image: Image.Image) -> bytes:
    """Encode an RGB image as JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def data_uri(image: Image.Image) -> str:
    """Return an RGB image as a `data:` URI with JPEG content."""
    return "data:image/jpeg;base64," + base64.b64encode(as_jpeg(image)).decode("ascii")
