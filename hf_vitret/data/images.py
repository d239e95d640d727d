"""Read images as `datasets` stores them, and convert images of any mode to RGB."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

# Suffixes of common image formats that Pillow 11 reads without a plug-in.
IMAGE_SUFFIXES = frozenset({".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
PAPER = (255, 255, 255)
# Largest ratio of the sides. An image of 1 x 60,000,000 pixels, resized to its short side, would not fit into memory.
MAX_ASPECT = 50
UINT8_PER_UINT16 = 257  # 65535 / 255, so that white stays white


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
        if content is None:
            raise ValueError("no image (null)")
        if not content:
            raise ValueError("empty file")
        with Image.open(io.BytesIO(content)) as image:
            if max(image.size) > MAX_ASPECT * min(image.size):
                width, height = image.size
                raise ValueError(f"expected sides of at most {MAX_ASPECT} to 1, got {width} x {height} pixels")
            if short_side is not None:
                image.draft(None, (short_side, short_side))
            ImageOps.exif_transpose(image, in_place=True)
            return _to_upright_rgb(image)
    except ValueError:
        raise
    except UnidentifiedImageError as error:  # its text has an address in memory, different in each run
        raise ValueError("UnidentifiedImageError: cannot identify image file") from error
    # Decoders raise exceptions of many kinds (SyntaxError, struct.error); all of them mean an unreadable image.
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


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


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any PIL mode to 8-bit RGB, as a viewer shows it on white.

    The EXIF orientation is applied. Transparent pixels (RGBA, LA, PA, premultiplied, or a transparent palette entry or
    colour) become white. 16-bit grey is scaled to 8 bits, while `Image.convert` would clip it. 32-bit integers (mode I,
    which PIL uses for some 16-bit files) are taken as 16-bit values. Floats (mode F) are taken as [0, 1] if none is
    above 1, else as [0, 255], and are clipped.

    Args:
        image: The image. It is not changed.

    Returns:
        A new RGB image of the same size, rotated by the EXIF orientation, which it no longer has.
    """
    return _to_upright_rgb(ImageOps.exif_transpose(image))


def _to_upright_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB an image that nothing else uses; an RGB image is returned itself, not copied."""
    if image.mode.startswith("I") or image.mode == "F":
        image = _to_grey(image)
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        if image.mode == "La":
            image = image.convert("LA")
        elif image.mode == "RGBa":
            image = image.convert("RGBA")
        rgba = image.convert("RGBA")
        image = Image.new("RGB", rgba.size, PAPER)
        image.paste(rgba, mask=rgba.getchannel("A"))
        return image
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_grey(image: Image.Image) -> Image.Image:
    """Scale an image of mode I, I;16 (and its variants) or F to 8-bit grey."""
    values = np.asarray(image).astype(np.float64)  # (height, width)
    if image.mode == "F":
        values = np.nan_to_num(values)
        values = values * (255 if values.max() <= 1 else 1)
    else:
        values = values / UINT8_PER_UINT16
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
