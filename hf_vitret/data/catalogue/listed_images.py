"""Find the files that the cells of a table name: paths, or ids without ending, one or several a cell."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from .allowed_paths import AllowedPaths, name_rows, refuse_outside, shorten
from .refused_cells import ADDRESS, refuse_addresses, refuse_base64

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from os import PathLike

logger = logging.getLogger(__name__)

ON_MISSING_FILE = ("error", "skip")
_USUAL_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".JPG", ".JPEG", ".PNG")


@dataclass(frozen=True)
class FileRules:
    """How the cells of a table lead to files.

    Attributes:
        image_dir: The folder of the images; `None`: the folder of the table.
        image_suffix: Ending that is added to each name that does not have it, such as `.jpg`.
        allow_outside: Whether names may lead outside `image_dir`, by an absolute path, `..` or `file://`.
        on_missing_file: What a reader of labelled images does about images without a file: `"error"`: raise an error.
            `"skip"`: leave their rows out, with a warning in the log that counts them.

    Raises:
        ValueError: `image_suffix` does not begin with a dot, or `on_missing_file` is another word.
        FileNotFoundError: `image_dir` is no folder.
    """

    image_dir: Path | None = None
    image_suffix: str = ""
    allow_outside: bool = False
    on_missing_file: str = "error"

    def __post_init__(self) -> None:
        if self.on_missing_file not in ON_MISSING_FILE:
            raise ValueError(
                f"expected on_missing_file (--on_missing_file) to be one of {', '.join(ON_MISSING_FILE)}; got "
                f"{self.on_missing_file!r}"
            )
        if self.image_suffix and not re.fullmatch(r"(\.\w+)+", self.image_suffix):
            raise ValueError(
                f"expected image_suffix (--image_suffix) to begin with a dot, such as .jpg; got {self.image_suffix!r}"
            )
        if self.image_dir is not None and not self.image_dir.is_dir():
            raise FileNotFoundError(
                f"expected image_dir (--image_dir) to be the folder of the images of the table; there is no folder "
                f"{self.image_dir}"
            )

    @classmethod
    def of(
        cls,
        image_dir: str | PathLike[str] | None = None,
        image_suffix: str | None = None,
        *,
        allow_outside: bool = False,
        on_missing_file: str = "error",
    ) -> FileRules:
        """Return the rules of optional settings, as the commands have them."""
        folder = None if image_dir is None else Path(image_dir).expanduser()
        return cls(folder, image_suffix or "", allow_outside, on_missing_file)

    @property
    def names_files(self) -> bool:
        """Whether there is a setting that only a column of names of files can have."""
        return self.image_dir is not None or bool(self.image_suffix) or self.on_missing_file != "error"

    def require_table(self, source: str) -> None:
        """Raise an error if there is such a setting, for a source that is no table of names.

        Raises:
            ValueError: There is one; the message names the source.
        """
        if self.names_files:
            raise ValueError(
                "expected image_dir, image_suffix and on_missing_file with a table on this machine only, whose column "
                f"of images has paths or ids; got one with {source}: leave it out"
            )

    def folder_of(self, table: Path) -> Path:
        """Return the folder of the images of a table."""
        return table.parent if self.image_dir is None else self.image_dir


@dataclass
class ListedImages:
    """The images that a table lists, in its order.

    Attributes:
        names: Name of each image as in the table; `None` for a row without one.
        files: Path of its file; of a missing one, the first path that was looked at; `None` for a row without a name.
        rows: Row of the table of each image, from 0. A row that lists several images occurs several times.
        missing: Positions, in these lists, of images without a file.
        folder: The folder of the images.
    """

    names: list[str | None]
    files: list[str | None]
    rows: list[int]
    missing: list[int]
    folder: Path

    @property
    def has_lists(self) -> bool:
        """Whether a row lists several images."""
        return len(set(self.rows)) < len(self.rows)

    def relative(self, position: int) -> str:
        """Return the path of an image relative to `folder`, with forward slashes; its name if it is outside."""
        file, start = self.files[position], f"{self.folder}{os.sep}"
        if file is not None and str(self.folder) == ".":
            return Path(file).as_posix()
        return Path(file[len(start) :]).as_posix() if file and file.startswith(start) else self.names[position] or ""


def list_images(cells: Sequence[Any], table: Path, image_column: str, rules: FileRules) -> ListedImages:
    """Find the file of each image that a table lists.

    A name is the path of a file relative to the folder of the images, without its ending if `rules.image_suffix` is
    given. If there is no such file, a name without `/` is looked for in the folders of its first characters: `a/b/c/`,
    as in Google Landmarks v2, and `abc/`, as in H&M. A cell may list several images: a list, or names with white space
    between them, if the whole cell is the name of no file.

    Args:
        cells: The column of the images: text, whole numbers, `None`, or lists of these.
        table: The file of the table, for the messages.
        image_column: Name of the column, for the messages.
        rules: How the cells lead to files.

    Returns:
        The images. A warning in the log counts files that are links to outside the folder.

    Raises:
        ValueError: Cells hold addresses (the message has the command that fetches them) or images as base64 text; or
            names lead outside the folder, without `rules.allow_outside`.
    """
    refuse_base64(cells, table, image_column)
    refuse_addresses(cells, table, image_column)
    folder = _Folder(rules.folder_of(table), rules)
    listed = ListedImages([], [], [], [], folder.root)
    outside = []
    for row, name, file in _entries(cells, folder):
        if name is not None and file is None:
            listed.missing.append(len(listed.names))
        if name is not None and not folder.may_read(name):
            outside.append((row, name))
        listed.names.append(name)
        listed.files.append(file if file is not None or name is None else folder.first_path(name))
        listed.rows.append(row)
    refuse_outside(str(table), outside, len(listed.names), f"files below {folder.root}")
    folder.report_links(str(table))
    return listed


def describe_missing(listed: ListedImages, table: Path, rules: FileRules) -> str:
    """Return a message that counts the images without a file, names the first ten, and says how to mend the table."""
    named = ((listed.rows[position], listed.names[position]) for position in listed.missing)
    text = (
        f"{table}: {len(listed.missing)} of {len(listed.names)} images are not there: "
        f"{name_rows(named, len(listed.missing))}. "
    )
    first = str(listed.names[listed.missing[0]])
    folder = _Folder(listed.folder, rules)
    if "\\" in first and folder.find(first.replace("\\", "/")):
        return f"{text}The folders of these paths are divided by \\: write / instead"
    found = [suffix for suffix in _USUAL_ENDINGS if folder.find(first + suffix)]
    if found:
        return (
            f"{text}There is {shorten(first)}{found[0]}: add the ending with image_suffix (--image_suffix {found[0]})"
        )
    where = "the folder of the table" if rules.image_dir is None else "image_dir"
    ending = f", with the ending {rules.image_suffix}" if rules.image_suffix else ""
    return (
        f"{text}Paths are taken relative to {where}, {listed.folder}{ending}. Name the folder of the images with "
        "image_dir (--image_dir), add an ending with image_suffix (--image_suffix .jpg), or leave these rows out with "
        "on_missing_file='skip' (--on_missing_file skip)"
    )


def _entries(cells: Sequence[Any], folder: _Folder) -> Iterator[tuple[int, str | None, str | None]]:
    """Yield the row, name and file of each image; the file is `None` if there is none."""
    for row, cell in enumerate(cells):
        if cell is None or cell == "":
            yield row, None, None
        elif isinstance(cell, list):
            yield from (
                (row, None, None) if one in (None, "") else (row, str(one), folder.find(str(one))) for one in cell
            )
        else:
            name = str(cell)
            file, parts = folder.find(name), name.split()
            if file is None and len(parts) > 1 and any(found := [folder.find(part) for part in parts]):
                yield from ((row, part, one) for part, one in zip(parts, found))
            else:
                yield row, name, file


@dataclass
class _Folder:
    """The folder of the images of a table. Each of its folders is listed once, which is faster than a call a file."""

    root: Path
    rules: FileRules
    _names: dict[str, dict[str, bool]] = field(default_factory=dict)  # folder: name of each file: is it a link outside
    _links: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._allowed = AllowedPaths.of_folder(self.root)
        self._real = os.path.realpath(self.root)

    def find(self, name: str) -> str | None:
        """Return the path of the file of a name; `None` if there is none, or if it must not be read."""
        if not self.may_read(name):
            return None
        for path in self._candidates(name):
            parent, file = os.path.split(path)
            found = self._list(parent).get(file)
            if found is not None:
                if found and not self.rules.allow_outside:
                    self._links.append(path)
                return path
        return None

    def first_path(self, name: str) -> str:
        """Return the first path at which the file of a name is looked for."""
        return next(self._candidates(name))

    def may_read(self, name: str) -> bool:
        """Return whether a name leads to below the folder, or may lead anywhere."""
        if self.rules.allow_outside or not (".." in name or ":" in name or name.startswith("/")):
            return True
        return not ADDRESS.match(name) and self._allowed.holds(os.path.abspath(self.root / name))  # noqa: PTH100

    def report_links(self, source: str) -> None:
        """Log how many files are links that lead outside the folder."""
        if self._links:
            first = self._links[0]
            logger.warning(
                "%s: %d images are links that lead outside %s, such as %s, which is %s",
                source,
                len(self._links),
                self.root,
                first,
                os.path.realpath(first),
            )

    def _candidates(self, name: str) -> Iterator[str]:
        """Yield the paths at which the file of a name is looked for, in order."""
        if ADDRESS.match(name):  # file://, with `allow_outside`
            name = unquote(urlsplit(name).path)
        suffix = self.rules.image_suffix
        if suffix and not name.lower().endswith(suffix.lower()):
            name += suffix
        # `..` is taken out here, because behind a link it would lead to another folder than the one that was checked.
        yield os.path.normpath(self.root / name) if ".." in name else str(self.root / name)
        if "/" not in name and len(name) > 3:
            yield str(self.root / name[0] / name[1] / name[2] / name)
            yield str(self.root / name[:3] / name)

    def _list(self, parent: str) -> dict[str, bool]:
        if parent not in self._names:
            try:
                with os.scandir(parent or ".") as entries:
                    files = [(entry.name, entry.is_symlink()) for entry in entries if entry.is_file()]
            except (OSError, ValueError):  # no such folder; a name with a null character
                files = []
            inside = self._is_inside(parent or ".")
            self._names[parent] = {
                name: not self._is_inside(os.path.join(parent, name)) if is_link else not inside  # noqa: PTH118
                for name, is_link in files
            }
        return self._names[parent]

    def _is_inside(self, path: str) -> bool:
        return f"{os.path.realpath(path)}{os.sep}".startswith(f"{self._real.rstrip(os.sep)}{os.sep}")
