"""Convert images with a colour profile to sRGB, as a viewer does."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

from PIL import Image, ImageCms

# The largest difference in 8-bit levels of a profile that counts as sRGB: its makers use slightly other numbers.
SAME_LEVELS = 2
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
_MAX_PROFILES = 64  # transforms that are kept; each takes some 100 kB


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert an image to RGB by its colour profile.

    Args:
        image: Image of mode RGB, L or CMYK, 8 bits a channel.
        profile: Its ICC profile; `None` without one.

    Returns:
        An RGB image: the image itself if it is RGB and the profile is sRGB. A profile that is damaged, or of another
        colour space than the image, is ignored, as viewers do.
    """
    found = _transform(profile) if profile else None
    if found is None:
        return image if image.mode == "RGB" else image.convert("RGB")
    space, transform = found
    if space != image.mode:
        if space != "RGB" or image.mode != "L":  # a grey image often has the profile of a camera
            return image.convert("RGB")
        image = image.convert("RGB")
    if transform is None:
        return image
    converted: Image.Image = transform.apply(image)
    return converted


def is_srgb(profile: bytes | None) -> bool:
    """Return whether a colour profile changes nothing: there is none, it is that of sRGB, or it cannot be read."""
    found = _transform(profile) if profile else None
    return found is None or (found[0] == "RGB" and found[1] is None)


@lru_cache(_MAX_PROFILES)
def _transform(profile: bytes) -> tuple[str, Any] | None:
    """Return the mode that a profile is for, and the transform to sRGB; a transform of `None` changes nothing."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _SPACES.get(source.profile.xcolor_space.strip())
        if mode is None:
            return None
        transform: Any = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):  # a damaged profile; ImageCms raises all three
        return None
    if mode == "RGB":
        levels = range(0, 256, 51)
        colours = [(red, green, blue) for red in levels for green in levels for blue in levels]
        probe = Image.new("RGB", (len(colours), 1))
        probe.putdata(colours)
        before, after = probe.tobytes(), transform.apply(probe).tobytes()
        if max(abs(a - b) for a, b in zip(before, after, strict=True)) <= SAME_LEVELS:
            return mode, None
    return mode, transform
