"""From a file to pixels at the edges: damaged EXIF, grounds of transparent images, limits, and 16 bit."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hf_vitret.models.image_decoding import (
    GREY,
    MAX_ASPECT,
    MAX_SCANS,
    WHITE,
    ImageSizeError,
    decode_image,
    describe_error,
    read_orientation,
    to_rgb,
)


def encode(image: Image.Image, file_format: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def with_exif(content: bytes, *entries: bytes) -> bytes:
    """Put an EXIF block with the entries of one directory into a JPEG."""
    block = b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", len(entries)) + b"".join(entries) + bytes(4)
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]


def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
    return struct.pack(">HHI", tag, kind, count) + value.ljust(4, b"\0")


QUARTER_TURN = entry(0x112, 3, 1, b"\0\x06")
# Tags that a writer got wrong: text in the place of a number, a fraction beyond the block, an offset beyond it, a count
# that no memory holds, a type that does not exist, an empty value.
DAMAGED = {
    "ResolutionUnit as text": entry(0x128, 2, 2, b"2"),
    "XResolution beyond the block": entry(0x11A, 5, 1, struct.pack(">I", 60_000)),
    "Make beyond the block": entry(0x10F, 2, 200, struct.pack(">I", 60_000)),
    "a giant count": entry(0x8769, 4, 2**31, struct.pack(">I", 8)),
    "an unknown type": entry(0x128, 99, 1, b"\0\2"),
    "no values": entry(0x11A, 5, 0, b""),
    "negative exposure": entry(0x829A, 10, 1, struct.pack(">I", 8)),
}


@pytest.mark.parametrize("damaged", DAMAGED.values(), ids=DAMAGED)
@pytest.mark.parametrize("short_side", [None, 20])
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns of the damaged tag, without a name of the file
def test_another_damaged_tag_does_not_hide_the_orientation(damaged: bytes, short_side: int | None) -> None:
    content = encode(Image.new("RGB", (120, 90), "red"), "JPEG")
    decoded = decode_image(with_exif(content, QUARTER_TURN, damaged), short_side)
    assert decoded.size == ((90, 120) if short_side is None else (23, 30))


@pytest.mark.parametrize("value", [b"\0\0", b"\0\x09", b"\xff\xff"])
def test_an_orientation_that_does_not_exist_turns_nothing(value: bytes) -> None:
    content = with_exif(encode(Image.new("RGB", (12, 9)), "JPEG"), entry(0x112, 3, 1, value))
    assert decode_image(content).size == (12, 9)


def test_an_exif_block_that_nobody_can_read_turns_nothing() -> None:
    image = Image.new("RGB", (12, 9))
    image.info["exif"] = b"Exif\0\0garbage"
    assert read_orientation(image) == 1


def drawing(colour: tuple[int, int, int, int]) -> Image.Image:
    """Draw a disc on a transparent ground."""
    image = Image.new("RGBA", (96, 96), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((10, 10, 80, 80), fill=colour)
    return image


@pytest.mark.parametrize(
    ("colour", "ground"),
    [
        ((255, 255, 255, 255), GREY),
        ((250, 245, 241, 255), GREY),
        ((255, 255, 255, 60), GREY),
        ((0, 0, 0, 255), WHITE),
        ((255, 255, 0, 255), WHITE),
        ((230, 230, 230, 255), WHITE),
    ],
)
def test_a_white_drawing_gets_a_ground_on_which_it_is_seen(
    colour: tuple[int, int, int, int], ground: tuple[int, int, int]
) -> None:
    decoded = decode_image(encode(drawing(colour)))
    assert decoded.getpixel((0, 0)) == ground
    assert decoded.getpixel((45, 45)) != ground


def test_a_cut_out_with_a_white_part_keeps_the_white_ground() -> None:
    image = drawing((255, 255, 255, 255))
    ImageDraw.Draw(image).ellipse((40, 40, 55, 55), fill=(200, 30, 30, 255))
    assert decode_image(encode(image)).getpixel((0, 0)) == WHITE


def test_an_image_that_is_all_transparent_or_all_opaque() -> None:
    assert decode_image(encode(Image.new("RGBA", (4, 4), (9, 9, 9, 0)))).getextrema() == ((255, 255),) * 3
    opaque = Image.new("RGBA", (4, 4), (255, 255, 255, 255))
    assert decode_image(encode(opaque)).getextrema() == ((255, 255),) * 3


def test_a_transparent_grey_of_16_bits() -> None:
    values = np.array([[0, 25700], [51400, 65535]], np.uint16)
    content = encode(Image.fromarray(values), transparency=51400)
    assert np.asarray(decode_image(content))[..., 0].tolist() == [[0, 100], [255, 255]]


@pytest.mark.parametrize("size", [(1, MAX_ASPECT + 1), (2, 60_000), (9_000, 40)])
def test_the_limits_hold_for_files_and_for_pictures(size: tuple[int, int]) -> None:
    image = Image.new("L", size)
    with pytest.raises(ImageSizeError, match=f"got {size[0]} x {size[1]} pixels"):
        to_rgb(image)
    with pytest.raises(ImageSizeError, match=f"got {size[0]} x {size[1]} pixels"):
        decode_image(encode(image))


def test_too_many_pixels_are_refused_before_they_are_decoded() -> None:
    """A PNG of 30,000 x 30,000 pixels, of which only the header is there."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + bytes(4) + bytes(12)
    with pytest.raises((ImageSizeError, ValueError)):
        decode_image(content)


def test_a_jpeg_of_thousands_of_scans_is_refused() -> None:
    content = encode(Image.new("RGB", (8, 8)), "JPEG", progressive=True)
    with pytest.raises(ImageSizeError, match=f"at most {MAX_SCANS} scans"):
        decode_image(content + b"\xff\xda" * MAX_SCANS)


def test_the_result_has_nothing_of_the_file_left() -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    image = Image.new("RGB", (12, 9))
    opened = Image.open(io.BytesIO(encode(image, "JPEG", exif=exif, comment=b"private")))
    decoded = to_rgb(opened)
    assert (decoded.size, decoded.info, read_orientation(decoded)) == ((9, 12), {}, 1)
    assert to_rgb(decoded).size == (9, 12)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_an_interleaved_jpeg_is_not_searched_for_scans(mode: str) -> None:
    """Its decoder reads one scan, whatever follows."""
    content = encode(Image.new(mode, (8, 8)), "JPEG")
    assert decode_image(content + b"\xff\xda" * MAX_SCANS).size == (8, 8)


def test_a_sequential_jpeg_of_one_scan_a_component_is_counted() -> None:
    content = encode(Image.new("RGB", (8, 8)), "JPEG")
    scan = content.index(b"\xff\xda")
    separate = content[:scan] + b"\xff\xda\0\x08\1\1\0\0\x3f\0" + content[scan:]  # a first scan of one component
    with pytest.raises(ImageSizeError, match=f"at most {MAX_SCANS} scans"):
        decode_image(separate + b"\xff\xda" * MAX_SCANS)


def test_an_error_is_described_alike_in_every_run() -> None:
    error = OSError(f"cannot read {io.BytesIO()!r} of <photos.Reader object at 0x7fb7> here")
    assert describe_error(error) == "OSError: cannot read of here"
