"""All that the doctor keeps of one image: fingerprints, and what is odd about its file."""

from __future__ import annotations

import hashlib
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from ....data.images import read_encoded, read_image, to_rgb
from .perceptual_hash import GRID, perceptual_hash, shrink, thumbnail

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

DIGEST_BYTES = 16  # 128 bits: two different files of a billion collide with a chance of 1e-21
Oddities = list[tuple[str, str]]  # kind and detail of each
_PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA")
_MODE_KINDS = {"CMYK": "cmyk", "P": "palette", "PA": "palette"}
_LYING = (5, 6, 7, 8)  # EXIF orientations that exchange width and height


class Fingerprint(NamedTuple):
    """What tells whether two decoded images are one picture.

    Attributes:
        size: Width and height in pixels, upright.
        perceptual_hash: 64 bits.
        is_flat: Whether the picture shows nothing, so that its hash means nothing.
        thumbnail: `(16, 16, 3)` uint8.
    """

    size: tuple[int, int]
    perceptual_hash: int
    is_flat: bool
    thumbnail: np.ndarray


class ImageFacts(NamedTuple):
    """What one image is like.

    Attributes:
        file_digest: Of its bytes; `None` where there are none.
        fingerprint: `None` where it was not decoded.
        oddities: Kinds of `KINDS`, each with its detail.
    """

    file_digest: bytes | None
    fingerprint: Fingerprint | None
    oddities: Oddities


def image_facts(stored: dict[str, Any] | None, *, max_megapixels: float, min_side: int) -> ImageFacts:
    """Read and decode one image, a JPEG at a fraction of its size.

    Args:
        stored: `bytes`, the encoded file, or else `path`, as `datasets.Image(decode=False)` stores it.
        max_megapixels: Millions of pixels above which an image is giant, and not decoded.
        min_side: Pixels below which a side is tiny.

    Returns:
        Its facts; an image that cannot be read has the oddity `unreadable`. Pillow's own limit on pixels must be
        lifted (`without_pixel_limit`), or it speaks first.
    """
    try:
        content = read_encoded(stored)
    except Exception as error:  # behind a URL, that of whatever fetches it
        return ImageFacts(None, None, [("unreadable", f"{type(error).__name__}: {error}")])
    if not content:
        return ImageFacts(None, None, [("unreadable", "no image (null)" if content is None else "empty file")])
    digest = hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()
    try:
        with Image.open(io.BytesIO(content)) as image:
            return ImageFacts(digest, *_look(image, max_megapixels, min_side))
    except UnidentifiedImageError:  # its own text names an object in memory
        return ImageFacts(digest, None, [("unreadable", f"no image file of a known kind ({len(content)} bytes)")])
    except Exception as error:  # as in read_image: whatever a decoder raises, the image is unreadable
        return ImageFacts(digest, None, [("unreadable", f"{type(error).__name__}: {error}")])


def pixel_digest(stored: dict[str, Any] | None) -> bytes:
    """Digest the pixels of an image decoded at full size, so that it is the same however they are stored.

    Raises:
        ValueError: The image cannot be read.
    """
    image = read_image(stored)
    return hashlib.blake2b(image.tobytes(), digest_size=DIGEST_BYTES, salt=b"%dx%d" % image.size).digest()


@contextmanager
def without_pixel_limit() -> Iterator[None]:
    """Lift Pillow's limit on the pixels of an image, for the whole process, while another limit is kept.

    Pillow warns above its limit and refuses twice of it as soon as it opens a file, before the size can be asked for.
    """
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _look(
    image: ImageFile.ImageFile, max_megapixels: float, min_side: int
) -> tuple[Fingerprint | None, list[tuple[str, str]]]:
    """Look at an image that was opened and not yet decoded: its header first, then, unless it is giant, its pixels."""
    oddities = _odd_format(image)
    width, height = image.size
    if width * height > max_megapixels * 1e6:
        detail = f"{width} x {height} pixels: {width * height / 1e6:.1f} megapixels, more than {max_megapixels:g}"
        return None, [("giant", detail), *oddities]
    image.draft(None, (2 * GRID, 2 * GRID))  # a JPEG of no less than this, as read_image does
    image.load()
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)  # of a PNG it may stand behind the pixels
    if orientation in range(2, 9):
        oddities.append(("exif_rotated", f"EXIF orientation {orientation}"))
    if orientation in _LYING:
        width, height = height, width
    if min(width, height) < min_side:
        oddities.append(("tiny", f"{width} x {height} pixels, less than {min_side}"))
    grid = shrink(to_rgb(image))
    bits, is_flat = perceptual_hash(grid)
    if is_flat:
        oddities.append(("blank", f"{width} x {height} pixels of one colour"))
    return Fingerprint((width, height), bits, is_flat, thumbnail(grid)), oddities


def _odd_format(image: ImageFile.ImageFile) -> Oddities:
    """Say what is odd about the format of an image, without decoding it."""
    oddities: Oddities = []
    mode = image.mode
    if mode.startswith(("I", "F")) or any(";16" in str(tile.args) for tile in image.tile):
        oddities.append(("sixteen_bit", f"{image.format}, mode {mode}"))
    elif mode not in _PLAIN_MODES:
        oddities.append((_MODE_KINDS.get(mode, "other_mode"), f"{image.format}, mode {mode}"))
    # The second picture of an MPO, as phones write it, is another view and no next frame.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        oddities.append(("animated", f"{image.format} of {getattr(image, 'n_frames', 2)} frames"))
    return oddities
