"""Re-encode one image at the size that training needs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..images import read_encoded, read_image

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

# Format -> its name in Pillow, the suffix of its files, and its settings other than the quality.
FORMATS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("JPEG", ".jpg", {"optimize": True}),  # own Huffman tables: smaller files with the same pixels
    "webp": ("WEBP", ".webp", {"method": 4}),
    "png": ("PNG", ".png", {}),
}
LOSSLESS = ("png",)
# Most images have been compressed once before, so the quality is high. At 95 a noisy photograph of 341 x 256 pixels
# takes 50 kB instead of 32, and a quarter more time to decode in every epoch.
DEFAULT_QUALITY = 90


@dataclass(frozen=True)
class Encoding:
    """The size and format of stored images.

    Args:
        short_side: Short side in pixels; smaller images keep their size.
        image_format: A key of `FORMATS`.
        quality: Quality of JPEG and WebP, 1 to 100. PNG, which is lossless, ignores it.

    Raises:
        ValueError: A setting is outside its domain.
    """

    short_side: int = 256
    image_format: str = "jpeg"
    quality: int = DEFAULT_QUALITY

    def __post_init__(self) -> None:
        if self.short_side < 1:
            raise ValueError(f"expected short_side in pixels, at least 1; got {self.short_side}")
        if self.image_format not in FORMATS:
            raise ValueError(f"expected image_format to be one of {', '.join(FORMATS)}; got {self.image_format!r}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"expected quality from 1 to 100; got {self.quality}")

    @property
    def ending(self) -> str:
        """Suffix of a file of this format, with the dot."""
        return FORMATS[self.image_format][1]

    def encode(self, stored: Mapping[str, Any] | None) -> bytes:
        """Decode an image, shrink it and encode it again.

        The result is RGB, as a viewer shows the image (`to_rgb`), and has no metadata. An image that is small already
        is encoded again too, so that no file is published with the position of the camera or the name of its author.

        Args:
            stored: The image as `datasets.Image(decode=False)` gives it: `bytes`, or else `path`, which is local or, in
                a stream, a URL.

        Returns:
            The encoded file. The same input gives the same bytes with the same version of Pillow and its decoders.

        Raises:
            ValueError: The image is unreadable.
            OSError: The file behind a URL cannot be read. This is an error of the network, not a bad image.
        """
        image = shrink(read_image(_fetch(stored), 2 * self.short_side), self.short_side)
        name, _, options = FORMATS[self.image_format]
        if self.image_format not in LOSSLESS:
            options = {**options, "quality": self.quality}
        image.info.clear()  # otherwise Pillow writes comments and profiles into the new file
        stream = io.BytesIO()
        image.save(stream, name, **options)
        return stream.getvalue()


def shrink(image: Image.Image, short_side: int) -> Image.Image:
    """Resize an image so that its short side has `short_side` pixels; return a smaller image unchanged.

    The resize is bicubic with antialiasing, as in the training transform and the image processor. An image that is
    prepared at the resize size of the model is therefore what they would have made of the original.

    Args:
        image: An RGB image of any size.
        short_side: Short side in pixels. The long side is rounded to the nearest pixel.

    Returns:
        An RGB image.
    """
    from PIL import Image

    shortest = min(image.size)
    if shortest <= short_side:
        return image
    width, height = (max(short_side, round(side * short_side / shortest)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _fetch(stored: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Read the file behind a URL, which a stream gives for images in files of their own.

    `read_image` would raise a network error as a bad image, which `on_bad_image="skip"` would leave out.
    """
    if stored is None or stored["bytes"] is not None or "://" not in (stored["path"] or ""):
        return stored
    return {"bytes": read_encoded(stored), "path": stored["path"]}
