"""Formats by their first bytes: what Pillow writes is detected, and what is no image is named."""

import io

import pytest
from PIL import Image

from hf_vitret.models import image_formats
from hf_vitret.models.image_decoding import decode_image
from hf_vitret.models.image_formats import (
    DECODED,
    UnsupportedFormatError,
    describe_content,
    find_format,
    formats_of,
    has_decoder,
)

Image.init()
WITHOUT_FIRST_BYTES = {"DIB", "IM", "MSP", "SPIDER", "TGA", "XBM"}
SAVED = sorted((Image.SAVE.keys() & DECODED) - {"MPO", "HEIF", "JXL"})


def encode(file_format: str) -> bytes:
    """Encode a small image in the first mode that the format takes."""
    for mode in ("RGB", "L", "P", "1", "F"):
        stream = io.BytesIO()
        try:
            Image.new(mode, (32, 20), 1).save(stream, file_format)
        except (OSError, ValueError, KeyError):
            continue
        return stream.getvalue()
    raise AssertionError(file_format)


@pytest.mark.parametrize("file_format", SAVED)
def test_what_pillow_writes_is_detected_and_decoded(file_format: str) -> None:
    content = encode(file_format)
    assert find_format(content) == (None if file_format in WITHOUT_FIRST_BYTES else file_format)
    assert min(decode_image(content).size) >= 10


@pytest.mark.parametrize("name", ["EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FITS", "IPTC", "PDF"])
def test_what_runs_a_program_or_needs_a_handler_is_never_decoded(name: str) -> None:
    assert name not in DECODED


def test_no_file_is_given_to_a_decoder_of_another_format() -> None:
    """A file without known first bytes is tried by the formats that have none, and by no others."""
    for content in (b"", b"abc" * 300, bytes(600)):
        assert set(formats_of(content)) <= DECODED - {"JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"}
    assert formats_of(encode("JPEG")) == ("JPEG",)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
        (b"\xc5\xd0\xd3\xc6" + bytes(30), "PostScript"),
        (b"%PDF-1.7\n", "PDF"),
        (b"\xd7\xcd\xc6\x9a" + bytes(20), "metafile"),
        (b"\x01\0\0\0" + bytes(36) + b" EMF" + bytes(40), "metafile"),
        (b"<svg xmlns='x'>", "SVG"),
        (b'<?xml version="1.0"?>\n<!-- made by hand -->\n<svg>', "SVG"),
        (b"\n <!DOCTYPE html><html>", "HTML"),
        (b"<html>", "HTML"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:abc", "git lfs pull"),
        (b"\0\0\0\x20ftypisom\0\0\x02\0", "video"),
        (b"PK\x03\x04" + bytes(26), "ZIP"),
        (b"\x1f\x8b\x08" + bytes(9), "gzip"),
    ],
)
def test_what_is_no_image_is_named(content: bytes, kind: str) -> None:
    assert find_format(content) is None
    assert kind in str(describe_content(content))
    with pytest.raises(UnsupportedFormatError, match=kind):
        decode_image(content)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "AVIF"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", "AVIF"),
        (b"\xff\x0a\xfa\x7f", "JXL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JXL"),
        (b"II*\0\x08\0\0\0", "TIFF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WEBP"),
        (b"RIFF\0\0\0\0WAVEfmt ", None),
        (b"BMW is a maker of cars", None),
        (b"#define width 32\n", None),
        (b"P5\n2 2\n255\n", "PPM"),
        (b"P5 is a sentence", "PPM"),
        (b"", None),
    ],
)
def test_first_bytes(head: bytes, name: str | None) -> None:
    assert find_format(head) == name


def test_a_format_without_its_package_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(image_formats.PLUGINS, "HEIF", ("no_such_module", "pillow-heif"))
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    assert not has_decoder("HEIF")
    with pytest.raises(UnsupportedFormatError, match="a HEIF image needs another package: pip install pillow-heif"):
        decode_image(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(60))


@pytest.mark.parametrize(("name", "module"), [("HEIF", "pillow_heif"), ("JXL", "pillow_jxl")])
def test_a_format_with_its_package_is_decoded(name: str, module: str) -> None:
    pytest.importorskip(module)
    assert has_decoder(name)
    stream = io.BytesIO()
    Image.new("RGB", (48, 32), (200, 30, 60)).save(stream, name)
    decoded = decode_image(stream.getvalue())
    assert (find_format(stream.getvalue()), decoded.size) == (name, (48, 32))
    assert all(abs(a - b) < 12 for a, b in zip(decoded.getpixel((20, 20)), (200, 30, 60), strict=True))
