"""Small pictures for pages: as JPEG, and inside an address."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

_QUALITY = 80  # a picture of 128 pixels takes about 5 kB


def as_jpeg(image: Image.Image) -> bytes:
    """Encode an RGB image as JPEG."""
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()


def data_uri(image: Image.Image) -> str:
    """Write an RGB image as a `data:` URI, JPEG inside."""
    return "data:image/jpeg;base64," + base64.b64encode(as_jpeg(image)).decode("ascii")
