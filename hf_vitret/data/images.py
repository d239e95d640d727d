"""Read images as `datasets` stores them: an encoded file, or its path or URL."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ..models.image_decoding import MAX_ASPECT, decode_image, describe_error, to_rgb
from ..models.image_formats import DECODED

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["MAX_ASPECT", "PLUGIN_SUFFIXES", "image_suffixes", "read_encoded", "read_image", "to_rgb"]

# Endings of formats that Pillow decodes with a plug-in, or (AVIF) from version 11.3 on.
PLUGIN_SUFFIXES = {
    ".heic": "HEIF",
    ".heics": "HEIF",
    ".heif": "HEIF",
    ".heifs": "HEIF",
    ".hif": "HEIF",
    ".jxl": "JXL",
    ".avif": "AVIF",
    ".avifs": "AVIF",
}


@cache
def image_suffixes() -> frozenset[str]:
    """Return the endings of the names of images, in lower case: those that Pillow registers for `DECODED` formats.

    Endings of formats that need a plug-in (`PLUGIN_SUFFIXES`) are among them, whether the plug-in is installed or not.
    """
    decoded = {ending for ending, name in Image.registered_extensions().items() if name in DECODED}
    return frozenset(decoded | PLUGIN_SUFFIXES.keys())


def read_image(stored: Mapping[str, Any] | None, short_side: int | None = None) -> Image.Image:
    """Decode an image that `datasets.Image(decode=False)` stores, to RGB as a viewer shows it (`to_rgb`).

    Args:
        stored: The image: `bytes`, the encoded file, or else `path`, of a file on this machine or a URL that fsspec
            opens, as in a streamed data set.
        short_side: Pixels that the short side needs; `None` decodes at full size. A JPEG is decoded at 1/2, 1/4 or 1/8
            of its size, as long as no side falls below `short_side`, which takes a fraction of the time. In the worst
            case, decoding at exactly this size, two photographs had embeddings (DINOv2-small) with cosines of 0.997 and
            0.999 to those of the photographs decoded at full size and resized; a crop moved by one pixel had 0.993 and
            0.997.

    Returns:
        A new RGB image.

    Raises:
        ValueError: There is no image; it is empty, truncated or otherwise unreadable; or its long side is more than
            `MAX_ASPECT` times its short side.
    """
    try:
        content = read_encoded(stored)
    # File systems, and the clients that fetch URLs, raise exceptions of many kinds.
    except Exception as error:
        raise ValueError(describe_error(error)) from error
    if content is None:
        raise ValueError("no image (null)")
    return decode_image(content, short_side)


def read_encoded(stored: Mapping[str, Any] | None) -> bytes | None:
    """Read the encoded file of an image.

    Args:
        stored: The image: `bytes`, or else `path`, of a file on this machine or a URL that fsspec opens.

    Returns:
        The bytes of the file; `None` if `stored` is `None` or has neither bytes nor path.

    Raises:
        Exception: The exception of the file system, or of the client that fetches the URL.
    """
    if stored is None or (stored["bytes"] is None and not stored["path"]):
        return None
    content: bytes
    if stored["bytes"] is not None:
        content = stored["bytes"]
    elif "://" in stored["path"]:
        import fsspec

        with fsspec.open(stored["path"], "rb") as remote:
            content = remote.read()
    else:
        content = Path(stored["path"]).read_bytes()
    return content
