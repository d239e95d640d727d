"""Decide from its name and first bytes whether a file is an image that is decoded, and if not, why."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from ...models.image_formats import PLUGINS, describe_content, find_format, has_decoder
from ..images import PLUGIN_SUFFIXES, image_suffixes
from .left_out import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

# Files whose first bytes are those of TIFF or of another raster and hold a thumbnail beside the values of the sensor.
RAW_SUFFIXES = frozenset(
    {".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".dng", ".orf", ".rw2", ".raf"}
)
RAW_SUFFIXES |= {".pef", ".srw", ".rwl", ".3fr", ".erf", ".kdc", ".mrw", ".x3f", ".iiq", ".mef", ".mos"}
_DRAWING_SUFFIXES = frozenset({".svg", ".svgz", ".eps", ".epsf", ".ps", ".wmf", ".emf"})
_DRAWING_KINDS = ("PostScript", "a Windows metafile", "SVG")  # beginnings of results of `describe_content`
# Rasters that need another program, or that Pillow cannot decode within limits.
_UNDECODED_SUFFIXES = frozenset(
    {".fit", ".fits", ".gbr", ".palm", ".exr", ".hdr", ".dcm", ".jxr", ".wdp", ".xcf", ".bpg"}
)
_MACOS_PREFIX = "._"
_SYSTEM_FILES = frozenset({"thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", ".ds_store", "icon\r"})
# Folders in which programs keep copies and old versions of the images.
PROGRAM_FOLDERS = frozenset({".git", ".svn", ".hg", ".dvc", ".cache", ".ipynb_checkpoints", ".thumbnails", ".thumbs"})
PROGRAM_FOLDERS |= {".trash", ".trashes", ".spotlight-v100", ".fseventsd", ".appledouble", ".temporaryitems", ".venv"}
PROGRAM_FOLDERS |= {".documentrevisions-v100", ".picasaoriginals", ".xvpics", "__macosx", "@eadir", "$recycle.bin"}

PROGRAM = Reason("files that the operating system or a program keeps for itself")
HIDDEN = Reason("hidden files (their name, or that of their folder, begins with a dot)")
HIDDEN_IMAGE = Reason("images whose name begins with a dot: rename them", is_image=True)
IN_HIDDEN_FOLDER = Reason("images in a folder whose name begins with a dot: rename the folder", is_image=True)
RAW = Reason("raw photographs of a camera: convert them to JPEG or PNG", is_image=True)
DRAWING = Reason("drawings without pixels (SVG, PostScript, Windows metafile): convert them to PNG", is_image=True)
UNDECODED = Reason("images in a format that is not decoded: convert them to PNG", is_image=True)
UNOPENED = Reason("files that cannot be opened: check their permissions", is_image=True)
SPECIAL = Reason("pipes, devices and links that lead nowhere")
OTHER = Reason("files that are no images")

# PPM begins with a letter, a digit and a space, as a text may; an image goes on with two numbers.
_PPM_HEADER = re.compile(rb"P[1-6fF]\s(?:\s|#[^\n]*\n)*\d+\s(?:\s|#[^\n]*\n)*\d+\s")


def find_reason(name: str, read_head: Callable[[], bytes]) -> Reason | None:
    """Decide whether a file is used as an image.

    A file is an image if its name has the ending of a raster format that is decoded (`image_suffixes`), or else if its
    first bytes are those of such a format. The ending decides for raw photographs of cameras,
    because their first bytes are those of TIFF.

    Args:
        name: Name of the file, without folders.
        read_head: Function that returns the first `SNIFFED_BYTES` bytes of the file. It is called only if the name does
            not decide.

    Returns:
        Why the file is left out; `None` for an image.

    Raises:
        Exception: The exception of `read_head`.
    """
    if name.startswith("."):
        return _reason_of_hidden(name, read_head)
    suffix = PurePath(name).suffix.lower()
    if suffix in image_suffixes() and (suffix not in PLUGIN_SUFFIXES or has_decoder(PLUGIN_SUFFIXES[suffix])):
        return None
    if suffix in RAW_SUFFIXES:
        return RAW
    if suffix in _DRAWING_SUFFIXES:
        return DRAWING
    if name.lower() in _SYSTEM_FILES:
        return PROGRAM
    return _reason_by_content(suffix, read_head())


def find_hidden_reason(name: str, folders: tuple[str, ...], read_head: Callable[[], bytes]) -> Reason:
    """Return why a file in a hidden folder, or in a folder of a program, is left out.

    Args:
        name: Name of the file, without folders.
        folders: Names of the folders that hold it.
        read_head: As in `find_reason`.
    """
    if any(is_program_folder(folder) for folder in folders):
        return PROGRAM
    reason = find_reason(name, read_head)
    return IN_HIDDEN_FOLDER if reason is None else reason if reason.is_image else HIDDEN


def is_program_folder(name: str) -> bool:
    """Return whether programs keep copies of images in a folder of this name."""
    return name.lower() in PROGRAM_FOLDERS or name.lower().startswith(".trash-")


def _reason_of_hidden(name: str, read_head: Callable[[], bytes]) -> Reason:
    """Return why a file with a leading dot is left out."""
    if name.startswith(_MACOS_PREFIX) or name.lower() in _SYSTEM_FILES:
        return PROGRAM
    reason = find_reason(name.lstrip(".") or "dots", read_head)
    return HIDDEN_IMAGE if reason is None or reason.is_image else HIDDEN


def _reason_by_content(suffix: str, head: bytes) -> Reason | None:
    """Decide by the first bytes of a file whose name does not decide."""
    if not head:
        return Reason(f"{OTHER.text} (empty)")
    found = find_format(head)
    if found is not None and not (found == "PPM" and not _PPM_HEADER.match(head)):
        return None if has_decoder(found) else needs_decoder(found)
    if suffix in PLUGIN_SUFFIXES:
        return needs_decoder(PLUGIN_SUFFIXES[suffix])
    kind = describe_content(head)
    if kind is not None and kind.startswith(_DRAWING_KINDS):
        return DRAWING
    if suffix in _UNDECODED_SUFFIXES:
        return UNDECODED
    return OTHER if kind is None else Reason(f"{OTHER.text} ({kind.partition(':')[0]})")


def needs_decoder(name: str) -> Reason:
    """Return the reason for images of a format of Pillow whose decoder is not installed."""
    package = "hf_vitret[formats]" if name in PLUGINS else "pillow>=11.3"
    return Reason(f'{name} images that need a decoder: pip install "{package}"', is_image=True)
