"""Read one image file: its digest, its fingerprint, and oddities such as a rare mode or a tiny size."""

from __future__ import annotations

import hashlib
import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from PIL import Image, ImageFile, UnidentifiedImageError

from ....data.images import read_encoded, read_image, to_rgb
from ....models.color_profiles import is_srgb
from ....models.image_decoding import check_size, describe_error, read_orientation
from ....models.image_formats import formats_of
from .perceptual_hash import GRID, perceptual_hash, shrink, thumbnail

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

DIGEST_BYTES = 16  # 128 bits: the probability of a collision among a billion files is about 1e-21
Oddities = list[tuple[str, str]]  # the kind and detail of each
_PLAIN_MODES = ("1", "L", "LA", "RGB", "RGBA")
_MODE_KINDS = {"CMYK": "cmyk", "P": "palette", "PA": "palette"}
_SWAPPED_SIDES = (5, 6, 7, 8)  # EXIF orientations that exchange width and height


class Fingerprint(NamedTuple):
    """Properties of a decoded image with which duplicates are found.

    Attributes:
        size: Width and height in pixels of the upright image.
        perceptual_hash: The perceptual hash, 64 bits.
        is_flat: Whether the image shows a single colour, so that its hash is only noise.
        thumbnail: `(16, 16, 3)` uint8, RGB.
    """

    size: tuple[int, int]
    perceptual_hash: int
    is_flat: bool
    thumbnail: np.ndarray


class ImageFacts(NamedTuple):
    """The digest, fingerprint and oddities of one image.

    Attributes:
        file_digest: Digest of the bytes of the file; `None` if there are none.
        fingerprint: The fingerprint; `None` if the image was not decoded.
        oddities: Pairs of a key of `KINDS` and a detail.
    """

    file_digest: bytes | None
    fingerprint: Fingerprint | None
    oddities: Oddities


def image_facts(stored: dict[str, Any] | None, *, max_megapixels: float, min_side: int) -> ImageFacts:
    """Read and decode one image, a JPEG at a fraction of its size.

    Call it inside `without_pixel_limit`, or Pillow raises its own error for giant images first.

    Args:
        stored: The image as `datasets.Image(decode=False)` stores it: the encoded file as `bytes`, or else its `path`.
        max_megapixels: Millions of pixels above which an image is giant and is not decoded.
        min_side: Pixels; an image with a shorter side is tiny.

    Returns:
        The facts. An image that cannot be read has the oddity `unreadable`.
    """
    try:
        content = read_encoded(stored)
    except Exception as error:  # for a URL, the errors depend on the library that downloads it
        return ImageFacts(None, None, [("unreadable", describe_error(error))])
    if not content:
        return ImageFacts(None, None, [("unreadable", "no image (null)" if content is None else "empty file")])
    digest = hashlib.blake2b(content, digest_size=DIGEST_BYTES).digest()
    try:
        with Image.open(io.BytesIO(content), formats=formats_of(content)) as image:
            return ImageFacts(digest, *_inspect(image, max_megapixels, min_side))
    except UnidentifiedImageError:  # its message contains the address of an object in memory
        return ImageFacts(
            digest, None, [("unreadable", f"no image of a known format, or damaged ({len(content)} bytes)")]
        )
    except ValueError as error:
        return ImageFacts(digest, None, [("unreadable", str(error))])
    except Exception as error:  # decoders raise errors of many classes, each of which means an unreadable image
        return ImageFacts(digest, None, [("unreadable", describe_error(error))])


def pixel_digest(stored: dict[str, Any] | None) -> bytes:
    """Compute a digest of the size and pixels of an image, decoded at full size.

    Args:
        stored: The image as `datasets.Image(decode=False)` stores it: the encoded file as `bytes`, or else its `path`.

    Returns:
        The digest, 16 bytes, which does not depend on the format of the file.

    Raises:
        ValueError: The image cannot be read.
    """
    image = read_image(stored)
    return hashlib.blake2b(image.tobytes(), digest_size=DIGEST_BYTES, salt=b"%dx%d" % image.size).digest()


@contextmanager
def without_pixel_limit() -> Iterator[None]:
    """Lift Pillow's limit on the pixels of an image inside the `with` block, for the whole process.

    Pillow warns above its limit and raises an error above twice the limit when it opens a file, before the size can be
    read. The caller must apply a limit of its own.
    """
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _inspect(
    image: ImageFile.ImageFile, max_megapixels: float, min_side: int
) -> tuple[Fingerprint | None, list[tuple[str, str]]]:
    """Inspect the header of an opened image, and decode it unless it is giant."""
    oddities = _odd_format(image)
    width, height = image.size
    if width * height > max_megapixels * 1e6:
        detail = f"{width} x {height} pixels: {width * height / 1e6:.1f} megapixels, more than {max_megapixels:g}"
        return None, [("giant", detail), *oddities]
    check_size(image.size)
    image.draft(None, (2 * GRID, 2 * GRID))  # a JPEG is decoded at the smallest size that is at least this
    image.load()
    orientation = read_orientation(image)  # read late: a PNG may have it after the pixels
    if orientation != 1:
        oddities.append(("exif_rotated", f"EXIF orientation {orientation}"))
    if orientation in _SWAPPED_SIDES:
        width, height = height, width
    if min(width, height) < min_side:
        oddities.append(("tiny", f"{width} x {height} pixels, less than {min_side}"))
    if not is_srgb(image.info.get("icc_profile")):
        oddities.append(("color_profile", f"{image.format}, mode {image.mode}, with a colour profile that is not sRGB"))
    grid = shrink(to_rgb(image))
    bits, is_flat = perceptual_hash(grid)
    if is_flat:
        oddities.append(("blank", f"{width} x {height} pixels of one colour"))
    return Fingerprint((width, height), bits, is_flat, thumbnail(grid)), oddities


def _odd_format(image: ImageFile.ImageFile) -> Oddities:
    """List the oddities of an image's mode and format, without decoding it."""
    oddities: Oddities = []
    mode = image.mode
    if mode.startswith(("I", "F")) or any(";16" in str(tile.args) for tile in image.tile):
        oddities.append(("sixteen_bit", f"{image.format}, mode {mode}"))
    elif mode not in _PLAIN_MODES:
        oddities.append((_MODE_KINDS.get(mode, "other_mode"), f"{image.format}, mode {mode}"))
    # The second picture of an MPO, a format of phones, is another view of the scene and not a frame of an animation.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        oddities.append(("animated", f"{image.format} of {getattr(image, 'n_frames', 2)} frames"))
    return oddities
