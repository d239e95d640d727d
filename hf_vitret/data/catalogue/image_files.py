"""List the image files below a folder; every other file is counted by the reason why it is left out."""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...models.image_formats import SNIFFED_BYTES
from ..images import PLUGIN_SUFFIXES, image_suffixes
from ..schema import name_some
from .file_kinds import (
    HIDDEN,
    SPECIAL,
    UNOPENED,
    find_hidden_reason,
    find_reason,
    is_program_folder,
)
from .left_out import LeftOut, Reason, report

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

logger = logging.getLogger(__name__)

EMPTY = Reason("folders without images", is_folder=True)
LINKED = Reason("folders that were already read through another link", is_folder=True)
CLOSED = Reason("folders that cannot be opened: check their permissions", is_image=True, is_folder=True)


@dataclass
class Listing:
    """The files below a folder.

    Attributes:
        images: The images, sorted by the parts of their paths.
        others: The files that the caller asked for, in the same order.
        left_out: All other files, and folders without images.
    """

    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut)


def find_images(folder: Path, *, used: Container[str] = ()) -> list[Path]:
    """List the images below a folder, sorted, and report what is left out (`report`).

    Args:
        folder: The folder, listed as by `list_folder`.
        used: Paths relative to the folder, with forward slashes, of files that are used for something else, such as a
            table of labels. They are not reported.

    Returns:
        The paths of the images, which begin with `folder`. If there are none, only files that look like images are
        reported, because the folder may be of another kind.
    """
    listing = list_folder(folder, keep=(lambda name, relative: relative in used) if used else None)
    left_out = listing.left_out if listing.images else listing.left_out.only_images()
    report(left_out, str(folder), logger, f"{folder.name}/" if folder.name else "")
    return listing.images


def list_folder(folder: Path, keep: Callable[[str, str], bool] | None = None) -> Listing:
    """List the files below a folder, at any depth.

    A file is an image by `find_reason`: only files whose names do not decide are opened. Files and folders whose name
    begins with a dot are left out, and so are the folders in which programs keep copies (`__MACOSX`). Links to folders
    are followed, but each real folder is read once; links that lead outside the folder are a warning in the log.

    Args:
        folder: The folder.
        keep: Function of the name and of the path relative to `folder`, with forward slashes, of a file that is not
            hidden: whether the caller wants it in `others`. Default: none.

    Returns:
        The listing. Each file is in it once.

    Raises:
        OSError: `folder` itself cannot be opened.
        ValueError: The path of an image is not UTF-8; the message names it.
    """
    listing = Listing()
    found: list[str] = []
    links: list[str] = []
    taken = frozenset(suffix for suffix in image_suffixes() if suffix not in PLUGIN_SUFFIXES)
    root = os.path.join(folder, "")  # noqa: PTH118 (100,000 paths are made from it)
    for relative, hidden, files, has_open_folders in _walk(root, listing.left_out):
        num_found = len(found)
        if relative and os.path.islink(root + relative[:-1]):  # noqa: PTH114 (thousands of folders)
            links.append(relative[:-1])
        for name, is_special in files:
            path = relative + name
            if is_special:
                listing.left_out.add(SPECIAL, path)
            elif hidden:
                listing.left_out.add(_reason(root + path, partial(find_hidden_reason, name, hidden)) or HIDDEN, path)
            elif keep is not None and not name.startswith(".") and keep(name, path):
                listing.others.append(Path(root + path))
            elif not name.startswith(".") and name[max(name.rfind("."), 0) :].lower() in taken:
                found.append(path)  # most files of most folders
            elif (reason := _reason(root + path, partial(find_reason, name))) is None:
                found.append(path)
            else:
                listing.left_out.add(reason, path)
        if len(found) == num_found and not hidden and not has_open_folders:
            listing.left_out.add(EMPTY, relative[:-1] or ".")
    require_utf8(found, str(folder))
    _report_links(folder, links)
    found.sort(key=lambda path: path.split("/"))  # as paths are compared, in a fraction of the time
    listing.images = [Path(root + path) for path in found]
    listing.others.sort()
    return listing


def require_utf8(paths: Sequence[str], source: str) -> None:
    """Check that the paths of images can be stored as text.

    Args:
        paths: The paths, as `os` decodes them.
        source: The folder or pattern, for the error.

    Raises:
        ValueError: Paths are not UTF-8; the message names them and the bytes that are wrong.
    """
    try:
        "".join(paths).encode()
    except UnicodeEncodeError:
        wrong = [os.fsencode(path) for path in paths if not _is_utf8(path)]
        named = name_some([name.decode("utf-8", "backslashreplace") for name in wrong])
        raise ValueError(
            f"{source}: expected names of files in UTF-8, as tables store them; {len(wrong)} of {len(paths)} images "
            f"have others: {named}. Rename them, for example by: convmv -r -f latin1 -t utf8 --notest FOLDER"
        ) from None


def reason_of(file: Path) -> Reason | None:
    """Return why a file is not used as an image; `None` for an image."""
    return _reason(str(file), partial(find_reason, file.name))


def _is_utf8(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _report_links(folder: Path, links: Sequence[str]) -> None:
    """Log which of the folders that are links lead outside the folder that is listed."""
    real = os.path.join(os.path.realpath(folder), "")  # noqa: PTH118
    targets = [(link, os.path.join(os.path.realpath(folder / link), "")) for link in links]  # noqa: PTH118
    outside = [f"{link}, which is {target[:-1] or '/'}" for link, target in targets if not target.startswith(real)]
    if outside:
        logger.warning("%s: read %d folders that are links to outside it: %s", folder, len(outside), name_some(outside))


def _walk(root: str, left_out: LeftOut) -> Iterator[tuple[str, tuple[str, ...], list[tuple[str, bool]], bool]]:
    """Yield every folder once, and count those that cannot be opened and those that were already read.

    Yields:
        The path relative to `root`, empty or with a slash at its end; the names of the folder and of its parents if one
        of them is hidden; the names of the files, with whether each is special; whether it has folders that are not
        hidden.
    """
    waiting: list[tuple[str, tuple[str, ...]]] = [("", ())]
    seen: set[tuple[int, int]] = set()
    while waiting:
        relative, hidden = waiting.pop()
        try:
            about = Path(root + relative).stat()
            if (about.st_dev, about.st_ino) in seen:
                left_out.add(LINKED, relative[:-1])
                continue
            folders, files = _scan(root + relative)
        except OSError:
            if not relative:
                raise
            left_out.add(CLOSED, relative[:-1])
            continue
        seen.add((about.st_dev, about.st_ino))
        inside = [
            (f"{relative}{name}/", (*hidden, name) if hidden or name.startswith(".") or is_program_folder(name) else ())
            for name in folders
        ]
        yield relative, hidden, files, not all(names for _, names in inside)
        waiting += reversed(inside)


def _scan(folder: str) -> tuple[list[str], list[tuple[str, bool]]]:
    """Return the sorted names of the folders in a folder, and of its files, with whether each is a pipe or device."""
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                is_folder = entry.is_dir()
            except OSError:  # a link to itself
                is_folder = False
            if is_folder:
                folders.append(entry.name)
            else:
                files.append((entry.name, not (entry.is_file(follow_symlinks=False) or entry.is_symlink())))
    return sorted(folders), sorted(files)


def _reason(path: str, find: Callable[[Callable[[], bytes]], Reason | None]) -> Reason | None:
    """Return why a file is left out, also if it cannot be opened."""
    try:
        return find(partial(read_head, path))
    except FileNotFoundError:
        return SPECIAL
    except OSError:
        return UNOPENED


def read_head(path: str | os.PathLike[str]) -> bytes:
    """Return the first `SNIFFED_BYTES` bytes of a file.

    A file of size 0 is not opened: those of the kernel may block.

    Raises:
        FileNotFoundError: There is no such file, or it is a pipe or a device.
        OSError: It cannot be opened.
    """
    about = Path(path).stat()
    if not stat.S_ISREG(about.st_mode):
        raise FileNotFoundError(f"expected a file; {path} is a pipe, a device or a folder")
    if not about.st_size:
        return b""
    with Path(path).open("rb", buffering=0) as stream:
        return stream.read(SNIFFED_BYTES)
