"""One image re-encoded at the size that training needs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..images import read_encoded, read_image

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

# Format -> what Pillow calls it, the file's ending, and its settings beside the quality.
FORMATS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("JPEG", ".jpg", {"optimize": True}),  # Huffman tables of the image's own: smaller, no pixel differs
    "webp": ("WEBP", ".webp", {"method": 4}),
    "png": ("PNG", ".png", {}),
}
LOSSLESS = ("png",)
# Each image has been compressed once before, and is small now: bytes are spent where they keep what is left. At 95 a
# noisy photograph of 341 x 256 pixels takes 50 kB in place of 32, and a quarter more time to decode in every epoch.
DEFAULT_QUALITY = 90


@dataclass(frozen=True)
class Encoding:
    """How images are stored.

    Args:
        short_side: Pixels of the short side; smaller images keep their size.
        image_format: A key of `FORMATS`.
        quality: Of JPEG and WebP, 1 to 100; PNG loses nothing and has none.

    Raises:
        ValueError: A setting is outside its domain.
    """

    short_side: int = 256
    image_format: str = "jpeg"
    quality: int = DEFAULT_QUALITY

    def __post_init__(self) -> None:
        if self.short_side < 1:
            raise ValueError(f"short_side is in pixels, at least 1; got {self.short_side}")
        if self.image_format not in FORMATS:
            raise ValueError(f"image_format is one of {', '.join(FORMATS)}; got {self.image_format!r}")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality is from 1 to 100; got {self.quality}")

    @property
    def ending(self) -> str:
        """Ending of a file of this format, with the dot."""
        return FORMATS[self.image_format][1]

    def encode(self, stored: Mapping[str, Any] | None) -> bytes:
        """Decode an image, shrink it and encode it again.

        The result is RGB as a viewer shows the image (`to_rgb`) and carries no metadata: also what need not be shrunk
        is encoded again, so that no camera's position and no author's name is published with a picture.

        Args:
            stored: As `datasets.Image(decode=False)` gives it: `bytes`, else `path`, local or, in a stream, a URL.

        Returns:
            The encoded file. The same input gives the same bytes, with one version of Pillow and its decoders.

        Raises:
            ValueError: The image is unreadable.
            OSError: The file behind a URL cannot be reached, which is not the image's fault.
        """
        image = shrink(read_image(_fetch(stored), 2 * self.short_side), self.short_side)
        name, _, options = FORMATS[self.image_format]
        if self.image_format not in LOSSLESS:
            options = {**options, "quality": self.quality}
        image.info.clear()  # comments and profiles that Pillow would write into the new file
        stream = io.BytesIO()
        image.save(stream, name, **options)
        return stream.getvalue()


def shrink(image: Image.Image, short_side: int) -> Image.Image:
    """Resize an image so that its short side has `short_side` pixels; a smaller one is returned as it is.

    Bicubic and antialiased, as in the training transform and the image processor: an image prepared at the model's
    resize size is the one that they would have made of the original.

    Args:
        image: Any size, mode RGB.
        short_side: In pixels; the long side is rounded to the nearest pixel.

    Returns:
        An image of mode RGB.
    """
    from PIL import Image

    shortest = min(image.size)
    if shortest <= short_side:
        return image
    width, height = (max(short_side, round(side * short_side / shortest)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _fetch(stored: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Read the file behind a URL, which is how a stream gives images that are files of their own.

    Here, and not by `read_image`, to which what cannot be read is a bad image: a network that fails is none to skip.
    """
    if stored is None or stored["bytes"] is not None or "://" not in (stored["path"] or ""):
        return stored
    return {"bytes": read_encoded(stored), "path": stored["path"]}
