"""The image formats that are decoded, told by the first bytes of a file and not by its name."""

from __future__ import annotations

import importlib
import re
from functools import partial
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Mapping

# Formats of Pillow that hold pixels and that it decodes by itself. EPS and WMF are programs that another program runs;
# BUFR, GRIB and HDF5 need a handler; FITS and IPTC unpack without a limit; MPEG is a video.
DECODED = frozenset({"AVIF", "BLP", "BMP", "CUR", "DCX", "DDS", "DIB", "FLI", "FTEX", "GIF", "HEIF", "ICNS", "ICO"})
DECODED |= {"IM", "IMT", "JPEG", "JPEG2000", "JXL", "MCIDAS", "MPO", "MSP", "PCD", "PCX", "PIXAR", "PNG", "PPM", "PSD"}
DECODED |= {"QOI", "SGI", "SPIDER", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XPM", "XVTHUMB"}
# Formats that need a package beside Pillow: the module that registers a decoder, and the package of that module.
PLUGINS = {"HEIF": ("pillow_heif", "pillow-heif"), "JXL": ("pillow_jxl", "pillow-jxl-plugin")}
# The first bytes of a format; Pillow checks the rest of the header.
_SIGNATURES = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WEBP": rb"RIFF....WEBP",
    "GIF": rb"GIF8[79]a",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "BMP": rb"BM....\0\0\0\0",
    "AVIF": rb"....ftyp(?:avi[fs]|mi[fa][1f].{4,48}?avi[fs])",
    "HEIF": rb"....ftyp(?:hei[cxms]|hev[cxms]|mif1|msf1)",
    "JXL": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
    "PPM": rb"P[1-6fF]\s",
    "PSD": rb"8BPS",
    "QOI": rb"qoif",
    "ICO": rb"\0\0\x01\0[\x01-\xff]\0",
    "CUR": rb"\0\0\x02\0[\x01-\xff]\0",
    "DDS": rb"DDS ",
    "PCX": rb"\x0a[\0\x02\x03\x05]\x01[\x01\x02\x04\x08]",
    "SGI": rb"\x01\xda[\0\x01][\x01\x02]",
    "SUN": rb"\x59\xa6\x6a\x95",
    "ICNS": rb"icns",
    "XPM": rb"/\* XPM \*/",
    "BLP": rb"BLP[12]",
    "PIXAR": rb"\x80\xe8\0\0",
}
# What is no image to decode, and what a user can do about it.
_OTHERS = {
    "PostScript, which is a program": rb"%!PS|\xc5\xd0\xd3\xc6",
    "PDF, which is a document": rb"%PDF",
    "a Windows metafile, which is a program": rb"\xd7\xcd\xc6\x9a|\x01\0\x09\0\0[\x01\x03]|\x01\0\0\0.{36} EMF",
    "SVG, which is a vector drawing": rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)?(?:<!DOCTYPE svg|<svg)",
    "HTML, such as the error page of a download": rb"\s*<(?:!doctype html|html|head|body)",
    "a pointer of Git LFS: run git lfs pull": rb"version https://git-lfs",
    "a video": rb"....ftyp(?:isom|iso2|mp4|M4V|qt  |3gp|avc1)|RIFF....AVI |\x1a\x45\xdf\xa3|\0\0\x01\xba",
    "a ZIP archive": rb"PK\x03\x04",
    "a gzip archive": rb"\x1f\x8b",
}
SNIFFED_BYTES = 512  # bytes from the start of a file that are enough for `find_format` and `describe_content`

_FORMATS = {name: re.compile(pattern, re.DOTALL) for name, pattern in _SIGNATURES.items()}
_KINDS = {name: re.compile(pattern, re.DOTALL | re.IGNORECASE) for name, pattern in _OTHERS.items()}


class UnsupportedFormatError(ValueError):
    """A file is not in an image format that is decoded; the message says what it is and how to mend it."""


def find_format(content: bytes) -> str | None:
    """Detect the image format of a file by its first bytes.

    Args:
        content: The file, or its first `SNIFFED_BYTES` bytes.

    Returns:
        The name of the format in Pillow, an item of `DECODED`; `None` if the file starts like none of them. A few old
        formats (TGA, PCD, SPIDER, IM, XBM) have no first bytes of their own: for them the result is `None`.
    """
    return _first_match(_FORMATS, content)


def describe_content(content: bytes) -> str | None:
    """Name the kind of a file that is no image; `None` if it is not known.

    Args:
        content: The file, or its first `SNIFFED_BYTES` bytes.
    """
    return _first_match(_KINDS, content)


def _first_match(patterns: Mapping[str, re.Pattern[bytes]], content: bytes) -> str | None:
    return next((name for name, each in patterns.items() if each.match(content, 0, SNIFFED_BYTES)), None)


def has_decoder(name: str) -> bool:
    """Return whether a format of `DECODED` can be decoded here; registers the plug-in of Pillow that it needs."""
    # Pillow's common formats, all of its formats, and a plug-in: each is loaded only if the format is not there yet.
    for load in (Image.preinit, Image.init, partial(_register, name)):
        if name in Image.OPEN:
            break
        load()
    return name in Image.OPEN


def formats_of(content: bytes) -> tuple[str, ...]:
    """Return the formats of Pillow that may decode a file: the detected one, or those without first bytes.

    Args:
        content: The file.

    Returns:
        Names for the argument `formats` of `PIL.Image.open`. They never include a format that starts another program.

    Raises:
        UnsupportedFormatError: The file is of a known kind that is no image, or its format needs a package that is not
            installed.
    """
    name = find_format(content)
    if name is None:
        kind = describe_content(content)
        if kind is not None:
            raise UnsupportedFormatError(f"expected an image; the file is {kind}")
        Image.init()
        return tuple(sorted((DECODED - _FORMATS.keys()) & Image.OPEN.keys()))
    if not has_decoder(name):
        needed = PLUGINS[name][1] if name in PLUGINS else "pillow>=11.3"
        raise UnsupportedFormatError(f"a {name} image needs another package: pip install {needed}")
    return (name,)


def _register(name: str) -> None:
    """Register the plug-in of a format with Pillow, if it has one and its package is installed."""
    if name not in PLUGINS:
        return
    module = PLUGINS[name][0]
    try:
        plugin = importlib.import_module(module)
    except ImportError:
        return  # `formats_of` names the package
    if hasattr(plugin, "register_heif_opener"):
        plugin.register_heif_opener()
