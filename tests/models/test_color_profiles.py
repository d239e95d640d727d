"""Colours by their profile: equal to ImageCms in one call, and unchanged where the profile is sRGB or means nothing."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from hf_vitret.models.color_profiles import is_srgb, to_srgb
from hf_vitret.models.image_decoding import decode_image

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def matrix_profile(gamma: float, primaries: list[list[float]]) -> bytes:
    """Write an ICC profile of a display: a gamma, and the XYZ (D50) of its red, green and blue."""

    def fixed(value: float) -> bytes:
        return round(value * 65536).to_bytes(4, "big", signed=True)

    def xyz(values: list[float]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))

    curve = b"curv\0\0\0\0\0\0\0\1" + round(gamma * 256).to_bytes(2, "big") + b"\0\0"
    text = b"desc\0\0\0\0" + (5).to_bytes(4, "big") + b"wide\0" + bytes(79)
    tags = {b"desc": text, b"cprt": b"text\0\0\0\0none\0\0\0\0", b"wtpt": xyz([0.9642, 1.0, 0.8249])}
    tags |= {name: xyz(values) for name, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), primaries, strict=True)}
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    start, table, body = 128 + 4 + 12 * len(tags), b"", b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + (start + len(body)).to_bytes(4, "big") + len(data).to_bytes(4, "big")
        body += data
    head = (start + len(body)).to_bytes(4, "big") + bytes(4) + b"\2\x40\0\0mntrRGB XYZ " + bytes(12) + b"acsp"
    head += bytes(28) + xyz([0.9642, 1.0, 0.8249])[8:]
    return head + bytes(128 - len(head)) + len(tags).to_bytes(4, "big") + table + body


# Adobe RGB (1998), adapted to D50.
WIDE = matrix_profile(2.2, [[0.6097, 0.3111, 0.0195], [0.2053, 0.6257, 0.0609], [0.1492, 0.0632, 0.7446]])


def noise(mode: str) -> Image.Image:
    bands = len(mode) if mode != "L" else 1
    values = np.random.default_rng(0).integers(0, 256, (20, 30, bands), dtype=np.uint8)
    return Image.fromarray(values[..., 0] if mode == "L" else values, mode)


def by_image_cms(image: Image.Image, profile: bytes) -> Image.Image:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None
    return converted


def test_a_wide_gamut_is_converted_as_image_cms_does() -> None:
    image = noise("RGB")
    assert not is_srgb(WIDE)
    assert to_srgb(image, WIDE).tobytes() == by_image_cms(image, WIDE).tobytes()
    assert to_srgb(Image.new("RGB", (1, 1), (200, 120, 90)), WIDE).getpixel((0, 0)) == (224, 121, 88)


def test_a_grey_image_with_a_profile_of_colours() -> None:
    image = noise("L")
    assert to_srgb(image, WIDE).tobytes() == by_image_cms(image.convert("RGB"), WIDE).tobytes()


@pytest.mark.parametrize("profile", [None, b"", SRGB, b"no profile", WIDE[:100], WIDE[:-60]])
def test_colours_stay(profile: bytes | None) -> None:
    """Without a profile, with that of sRGB, and with a damaged one."""
    image = noise("RGB")
    assert is_srgb(profile)
    assert to_srgb(image, profile) is image


def test_a_profile_of_another_colour_space_is_ignored() -> None:
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    image = noise("CMYK")
    assert to_srgb(image, lab).tobytes() == image.convert("RGB").tobytes()
    assert to_srgb(image, WIDE).tobytes() == image.convert("RGB").tobytes()


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L"])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "WEBP"])
def test_the_profile_in_a_file_is_used(mode: str, file_format: str) -> None:
    image = noise("RGB").convert(mode)
    stream = io.BytesIO()
    options = {"lossless": True} if file_format == "WEBP" else {}
    image.save(stream, file_format, icc_profile=WIDE, **options)
    decoded = decode_image(stream.getvalue())
    assert decoded.tobytes() == by_image_cms(image.convert("RGB"), WIDE).tobytes()
    assert "icc_profile" not in decoded.info
