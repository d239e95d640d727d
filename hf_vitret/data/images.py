"""Images as the model needs them: read from where `datasets` keeps them, any mode to RGB."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageOps

if TYPE_CHECKING:
    from collections.abc import Mapping

# What Pillow 11 reads without a plug-in and people keep pictures in.
IMAGE_SUFFIXES = frozenset({".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp"})
PAPER = (255, 255, 255)
# Resized to its short side, an image of 1 x 60,000,000 pixels would be larger than any memory.
MAX_ASPECT = 50
UINT8_PER_UINT16 = 257  # 65535 / 255: white stays white


def read_image(stored: Mapping[str, Any] | None, short_side: int | None = None) -> Image.Image:
    """Decode an image as `datasets.Image(decode=False)` stores it, to RGB as a viewer shows it.

    Args:
        stored: `bytes`, the encoded file, or else `path`, of a file on this machine or a URL that fsspec opens (as
            those of a streamed data set).
        short_side: Pixels that the short side needs. A JPEG is then decoded at 1/2, 1/4 or 1/8 of its size, as long as
            no side falls below this: a fraction of the work. Decoded at just this size, the farthest from the original,
            and cropped, two photographs had embeddings (DINOv2-small) at cosines of 0.997 and 0.999 to those decoded at
            full size and resized; a crop one pixel to the side had 0.993 and 0.997. `None`: at full size.

    Returns:
        A new image of mode RGB; see `to_rgb`.

    Raises:
        ValueError: There is no image, or it is empty, truncated or otherwise unreadable, or longer than `MAX_ASPECT`
            times its width.
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
    # Decoders raise what they like (SyntaxError, struct.error ...); whatever it is, the image is unreadable.
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


def read_encoded(stored: Mapping[str, Any] | None) -> bytes | None:
    """Read the encoded file of an image, stored as for `read_image`; `None` where there is no image.

    Raises:
        Exception: That of the disk, or of whatever fetches a URL.
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
    """Convert an image of any PIL mode to 8-bit RGB as a viewer shows it, on white.

    The EXIF orientation is applied; transparent pixels (RGBA, LA, PA, premultiplied, a transparent palette
    entry or colour) show white; 16-bit grey is scaled to 8 bits, where `Image.convert` would clip it. 32-bit
    integers (mode I: what PIL makes of some 16-bit files) are taken as 16-bit. Floats (mode F) are taken as
    [0, 1] if none is above 1, else as [0, 255], and clipped.

    Args:
        image: The image; it is not changed.

    Returns:
        A new image of mode RGB, of the same size but for the EXIF rotation, without the EXIF orientation.
    """
    return _to_upright_rgb(ImageOps.exif_transpose(image))


def _to_upright_rgb(image: Image.Image) -> Image.Image:
    """Convert to RGB an image that has no other owner: one that is RGB already is returned itself."""
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
    """Scale an image of mode I, I;16* or F to 8-bit grey."""
    values = np.asarray(image).astype(np.float64)  # (height, width)
    if image.mode == "F":
        values = np.nan_to_num(values)
        values = values * (255 if values.max() <= 1 else 1)
    else:
        values = values / UINT8_PER_UINT16
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
