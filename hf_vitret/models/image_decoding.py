"""Decode an image file to upright 8-bit sRGB, the same way wherever a model is used."""

from __future__ import annotations

import io
import re

import numpy as np
from PIL import Image, UnidentifiedImageError

from .color_profiles import to_srgb
from .image_formats import UnsupportedFormatError, formats_of

MAX_PIXELS = 178_956_970  # pixels of an image, which take 0.5 GB as RGB; Pillow refuses more by default
# Largest ratio of the sides. An image of 1 x 60,000,000 pixels, resized to its short side, would not fit into memory.
MAX_ASPECT = 50
# A progressive JPEG is decoded once for each of its scans. Cameras and programs write about ten; a small file with
# thousands of scans would take minutes. The marker of a scan does not occur inside compressed data.
MAX_SCANS = 100
_SCAN = b"\xff\xda"
_SEQUENTIAL = (0xC0, 0xC1)  # frames of a JPEG whose only scan holds all components
# Grounds for transparent images: white, and grey for drawings that white would hide.
WHITE, GREY = (255, 255, 255), (128, 128, 128)
NEAR_WHITE = 240  # lowest 8-bit level of all channels of a pixel that white hides
NEAR_WHITE_SHARE = 0.99  # share of the visible area that is near white in an image that gets the grey ground
_UINT8_PER_UINT16 = 257  # 65535 / 255, so that white stays white
_ADDRESS = re.compile(r"\s*<[\w.]+ object at 0x[0-9A-Fa-f]+>")
_ORIENTATION = 0x0112  # tag of EXIF
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageSizeError(ValueError):
    """An image is too large to decode: its pixels, its scans, or one side compared with the other."""


class TooManyPixelsError(ImageSizeError):
    """An image has more pixels than are allowed."""


def decode_image(content: bytes, short_side: int | None = None, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Decode an image file to RGB as a viewer shows it; of an animation, the first frame.

    Args:
        content: The file. Its format is detected by its first bytes, and only the decoder of that format reads it.
        short_side: Pixels that the short side needs; `None` decodes at full size. A JPEG is decoded at 1/2, 1/4 or 1/8
            of its size, as long as no side falls below `short_side`.
        max_pixels: Largest number of pixels, at most `MAX_PIXELS`; a larger image is not decoded.

    Returns:
        A new RGB image, as `to_rgb` returns it.

    Raises:
        UnsupportedFormatError: The file has no image format that is decoded here.
        TooManyPixelsError: The image has more than `max_pixels` pixels.
        ImageSizeError: The image exceeds `MAX_ASPECT` or `MAX_SCANS`.
        ValueError: The file is empty, truncated or otherwise unreadable.
    """
    if not content:
        raise ValueError("empty file")
    formats = formats_of(content)
    if formats[0] == "JPEG" and _has_several_scans(content) and content.count(_SCAN) > MAX_SCANS:
        raise ImageSizeError(f"expected a JPEG of at most {MAX_SCANS} scans; got more. Save it as a baseline JPEG")
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            check_size(image.size, max_pixels)
            if short_side is not None:
                image.draft(None, (short_side, short_side))
            image.load()
            return _to_upright_rgb(image)
    except ValueError:
        raise
    except UnidentifiedImageError as error:  # its text has an address in memory, different in each run
        if len(formats) == 1:
            raise ValueError(f"damaged {formats[0]} file: its header cannot be read") from error
        raise UnsupportedFormatError("expected an image; the file has no known format") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixelsError(f"expected at most {max_pixels:,} pixels; got more. Reduce the image") from error
    # Decoders raise exceptions of many kinds (SyntaxError, struct.error); all of them mean an unreadable image.
    except Exception as error:
        raise ValueError(describe_error(error)) from error


def describe_error(error: Exception) -> str:
    """Return the class and message of an error without addresses in memory, which differ in each run."""
    return _ADDRESS.sub("", f"{type(error).__name__}: {error}")


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any PIL mode to upright 8-bit sRGB, as a viewer shows it.

    - The orientation in the EXIF is applied. A damaged EXIF block without a readable orientation is ignored.
    - Colours are converted to sRGB by the colour profile of the image, if it has one.
    - Transparent pixels (RGBA, LA, PA, premultiplied, or a transparent palette entry or colour) show the ground: white,
      or grey if at least `NEAR_WHITE_SHARE` of the visible area is near white, which a white ground would hide.
    - 16-bit grey is scaled to 8 bits. 32-bit integers (mode I, which PIL uses for some 16-bit files) are taken as
      16-bit values. Floats (mode F) are taken as [0, 1] if none is above 1, else as [0, 255], and are clipped.

    Args:
        image: The image. It is not changed.

    Returns:
        A new RGB image without profile and EXIF.

    Raises:
        ImageSizeError: The image exceeds `MAX_PIXELS` or `MAX_ASPECT`.
    """
    check_size(image.size)
    return _to_upright_rgb(image.copy() if image.mode == "RGB" else image)


def _to_upright_rgb(image: Image.Image) -> Image.Image:
    """Convert an image to upright sRGB; an upright RGB image in sRGB is returned itself, without its EXIF."""
    transpose = _UPRIGHT.get(read_orientation(image))
    rgb = _without_transparency(image)
    if transpose is not None:
        rgb = rgb.transpose(transpose)
    rgb.info = {}
    if hasattr(rgb, "_exif"):
        rgb._exif = None
    return rgb


def _has_several_scans(content: bytes) -> bool:
    """Return whether a JPEG may have several scans: it is progressive, or its first scan lacks a component."""
    num_components, offset = 0, 2
    while offset + 9 < len(content) and content[offset] == 0xFF:
        marker, length = content[offset + 1], int.from_bytes(content[offset + 2 : offset + 4], "big")
        if marker in _SEQUENTIAL:
            num_components = content[offset + 9]
        elif marker == _SCAN[1]:
            return content[offset + 4] != num_components
        offset += 1 if marker == 0xFF else 2 + length  # bytes 0xFF may fill the space before a marker
    return True


def check_size(size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> None:
    """Check the width and height of an image against the limits.

    Raises:
        TooManyPixelsError: There are more than `max_pixels` pixels.
        ImageSizeError: The long side is more than `MAX_ASPECT` times the short side.
    """
    width, height = size
    if width * height > max_pixels:
        raise TooManyPixelsError(f"expected at most {max_pixels:,} pixels; got {width} x {height}. Reduce the image")
    if max(size) > MAX_ASPECT * min(size):
        raise ImageSizeError(
            f"expected sides of at most {MAX_ASPECT} to 1; got {width} x {height} pixels. Crop the image"
        )


def read_orientation(image: Image.Image) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1 if it has none that can be read."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)
    # Pillow's parser raises exceptions of many kinds at a damaged block; viewers show such an image as it is stored.
    except Exception:
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _without_transparency(image: Image.Image) -> Image.Image:
    """Convert to sRGB, and put transparent images on a ground."""
    profile = image.info.get("icc_profile")
    mask = None
    if image.mode.startswith("I") or image.mode == "F":
        image, mask = _to_grey(image)
    elif image.has_transparency_data or image.mode in ("La", "RGBa"):
        image, mask = _split_alpha(image)
    elif image.mode not in ("RGB", "L", "CMYK"):
        image = image.convert("RGB")
    rgb = to_srgb(image, profile)
    if mask is None or mask.getextrema() == (255, 255):
        return rgb
    ground = Image.new("RGB", rgb.size, _ground(rgb, mask))
    ground.paste(rgb, mask=mask)
    return ground


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image]:
    """Return the colours of a transparent image, and its opacity."""
    if image.mode in ("La", "RGBa"):
        image = image.convert({"La": "LA", "RGBa": "RGBA"}[image.mode])
    colour = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(colour, tuple) and max(colour) > 255:  # of a 16-bit PNG, read as 8 bits
        image = image.copy()
        image.info["transparency"] = tuple(value >> 8 for value in colour)
    rgba = image.convert("RGBA")
    return rgba.convert("RGB"), rgba.getchannel("A")


def _ground(rgb: Image.Image, mask: Image.Image) -> tuple[int, int, int]:
    """Choose the ground of a transparent image."""
    opacity = np.asarray(mask, np.float32)  # (height, width)
    hidden = np.asarray(rgb).min(axis=2) >= NEAR_WHITE  # (height, width)
    visible = float(opacity.sum())
    return GREY if visible and float(opacity[hidden].sum()) >= NEAR_WHITE_SHARE * visible else WHITE


def _to_grey(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Scale an image of mode I, I;16 (and its variants) or F to 8-bit grey; return it and its opacity."""
    stored = np.asarray(image)  # (height, width)
    values = stored.astype(np.float64)
    if image.mode == "F":
        values = np.nan_to_num(values)
        values = values * (255 if values.max() <= 1 else 1)
    else:
        values = values / _UINT8_PER_UINT16
    grey = Image.fromarray(values.round().clip(0, 255).astype(np.uint8))
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return grey, None
    return grey, Image.fromarray(np.where(stored == transparent, 0, 255).astype(np.uint8))
