"""One image re-encoded: its size, its pixels against those of Pillow, and metadata that must not be in the file."""

import io

import numpy as np
import pytest
from PIL import Image

from hf_vitret.data.preparation.reencoding import Encoding, shrink


def noise(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Draw noise, which no codec can predict."""
    channels = {"RGB": (3,), "RGBA": (4,), "L": ()}[mode]
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, *channels), dtype=np.uint8))


def stored(image: Image.Image, file_format: str = "PNG", **options) -> dict:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return {"bytes": stream.getvalue(), "path": None}


def decoded(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((400, 300), (133, 100)),
        ((300, 400), (100, 133)),
        ((100, 100), (100, 100)),
        ((99, 1000), (99, 1000)),  # never enlarged, nor squeezed
        ((1, 1), (1, 1)),
        ((101, 101), (100, 100)),
        ((2000, 101), (1980, 100)),
    ],
)
def test_the_short_side_is_exact_and_no_image_grows(size: tuple[int, int], expected: tuple[int, int]) -> None:
    image = noise(*size)
    assert shrink(image, 100).size == expected
    assert decoded(Encoding(100).encode(stored(image, "JPEG"))).size == expected


def test_pixels_are_those_of_one_antialiased_bicubic_resize() -> None:
    image = noise(301, 233)
    result = decoded(Encoding(64, "png").encode(stored(image)))
    expected = image.resize((83, 64), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(np.asarray(result), np.asarray(expected))


def test_a_lossless_format_loses_nothing_of_a_small_image() -> None:
    image = noise(40, 30)
    np.testing.assert_array_equal(np.asarray(decoded(Encoding(64, "png").encode(stored(image)))), np.asarray(image))


@pytest.mark.parametrize(("image_format", "name"), [("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_formats_and_what_quality_does(image_format: str, name: str) -> None:
    image = stored(noise(200, 200))
    low, high = (Encoding(100, image_format, quality).encode(image) for quality in (30, 95))
    assert decoded(high).format == name
    assert decoded(high).mode == "RGB"
    assert len(low) == len(high) if image_format == "png" else len(low) < 0.5 * len(high)


def test_rotation_is_applied_and_no_metadata_travels() -> None:
    image = Image.new("RGB", (80, 40), "blue")
    image.paste("red", (0, 0, 40, 40))
    exif = image.getexif()
    exif[0x0112] = 6  # the top of the picture is the right side of the file
    exif[0x013B] = "A. Photographer"
    content = Encoding(64, "jpeg").encode(stored(image, "JPEG", exif=exif.tobytes(), comment=b"at home"))
    result = decoded(content)
    assert result.size == (40, 80)
    assert (result.getpixel((20, 10))[0] > 200, result.getpixel((20, 70))[2] > 200) == (True, True)
    assert not result.getexif()
    assert b"Photographer" not in content
    assert b"at home" not in content


def test_what_is_transparent_is_white() -> None:
    image = Image.new("RGBA", (50, 50), (255, 0, 0, 0))
    assert decoded(Encoding(20, "png").encode(stored(image))).getcolors() == [(400, (255, 255, 255))]


@pytest.mark.parametrize("bad", [None, {"bytes": b"", "path": None}, {"bytes": b"no image", "path": None}])
def test_what_is_no_image(bad: dict | None) -> None:
    with pytest.raises(ValueError, match=r"no image|empty file|no known format"):
        Encoding().encode(bad)


def test_a_file_behind_an_address(tmp_path) -> None:
    image = stored(noise(30, 30))
    (tmp_path / "a.png").write_bytes(image["bytes"])
    there = {"bytes": None, "path": f"file://{tmp_path}/a.png"}
    assert Encoding(20).encode(there) == Encoding(20).encode(image)
    with pytest.raises(OSError, match="gone"):  # not ValueError: the image is not at fault
        Encoding(20).encode({"bytes": None, "path": f"file://{tmp_path}/gone.png"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"short_side": 0}, "expected short_side in pixels, at least 1; got 0"),
        ({"image_format": "gif"}, "expected image_format to be one of jpeg, webp, png; got 'gif'"),
        ({"quality": 101}, "expected quality from 1 to 100; got 101"),
    ],
)
def test_settings_outside_their_domain(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Encoding(**settings)
