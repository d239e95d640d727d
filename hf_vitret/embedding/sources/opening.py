"""`open_source`: find the images that a folder, pattern, table, archive or id of a data set names."""

from __future__ import annotations

import glob
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ...data.catalogue.image_files import list_folder
from ...data.catalogue.left_out import Reason, report
from ...data.catalogue.listed_images import FileRules
from ..choices import SHARD_SIZE
from .hub import hub_source
from .image_files import check_images, file_source
from .parquet_files import holds_images, parquet_source
from .source import ImageSource, require_rows
from .tables import TABLE_SUFFIXES, table_source
from .tar_files import is_tar, tar_source

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike


logger = logging.getLogger(__name__)

FOLDER = Reason("folders that the pattern names without their files: end it with /**/*", is_image=True, is_folder=True)


def open_source(
    images: str | PathLike[str],
    *,
    shard_size: int = SHARD_SIZE,
    image_column: str | None = None,
    image_dir: str | PathLike[str] | None = None,
    image_suffix: str | None = None,
    allow_outside: bool = False,
    split: str | None = None,
    dataset_config: str | None = None,
    dataset_revision: str | None = None,
) -> ImageSource:
    """Find images to embed, without decoding any of them.

    Args:
        images: One of: a folder with images at any depth, or with Parquet files of encoded images, or with tar
            archives (WebDataset); a pattern of such files, such as `photos/**/*.jpg`; a CSV, TSV, JSON Lines or Parquet
            file with a column of paths, relative to the file; a Parquet file with a column of encoded images; a tar
            archive; or the id of a data set on the Hub, which is streamed.
        shard_size: Number of images of a folder, or of rows of a table, in one shard of embeddings. A tar archive, a
            Parquet file of images, and each file of a data set on the Hub is one shard of any size.
        image_column: Column of the images or paths. `None`: the first that exists of `image`, `path` and `file_name`.
        image_dir: Folder of the images of a table of paths or ids. `None`: the folder of the table. An id without a
            file in it is looked for in the folders of its first characters, `a/b/c/` and `abc/` (`list_images`).
        image_suffix: Ending to add to the names in such a table, such as `.jpg`.
        allow_outside: Whether a table may name files outside `image_dir`, and a data set on the Hub files or addresses
            outside its repository.
        split: Split of a data set on the Hub. `None`: its only split.
        dataset_config: Configuration of a data set on the Hub that has several.
        dataset_revision: Branch, tag or commit on the Hub. `None`: the newest commit.

    Returns:
        The source. It has the other columns of a table as metadata, and the `json`, `txt` and `cls` files that belong
        to the images of WebDataset archives, as text. Files of a folder that are not used are in its `left_out` and in
        the log; those of an archive are in `left_out` of its shard when it is read.

    Raises:
        FileNotFoundError: There is no such folder, file or data set.
        ValueError: There are no images, columns are missing, images are outside their folder, or a setting is outside
            its domain or does not apply to this source.
    """
    if shard_size < 1:
        raise ValueError(f"shard_size is a number of images, at least 1; got {shard_size}")
    path, text = Path(images), str(images)
    rules = FileRules.of(image_dir, image_suffix, allow_outside=allow_outside)
    if path.is_dir():
        rules.require_table(text)
        return require_rows(_open_folder(path, shard_size, image_column))
    if path.is_file():
        return require_rows(_open_files(path.parent, [path], path.name, shard_size, image_column, rules))
    if glob.has_magic(text):
        root = _fixed_part(path)
        found = [Path(name) for name in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207 (patterns with roots)
        files = [file for file in found if file.is_file()]
        if not files:
            raise FileNotFoundError(f"expected files that match {text!r}; found none: check the pattern, and quote it")
        source = require_rows(_open_files(root, files, path.name, shard_size, image_column, rules))
        inside = {folder for file in files for folder in file.parents}
        for folder in found:
            if folder.is_dir() and folder not in inside:
                source.left_out.add(FOLDER, folder.relative_to(root).as_posix())
        report(source.left_out, text, logger)
        return source
    rules.require_table(text)
    return require_rows(
        hub_source(text, image_column, split, dataset_config, dataset_revision, allow_outside=allow_outside)
    )


def _open_folder(folder: Path, shard_size: int, image_column: str | None) -> ImageSource:
    name = folder.resolve().name
    listing = list_folder(folder, keep=lambda file, _: any(matches(Path(file)) for matches, _ in _KINDS_OF_SHARDS))
    found = [(make, shards) for matches, make in _KINDS_OF_SHARDS if (shards := [*filter(matches, listing.others)])]
    if len(found) + bool(listing.images) > 1:
        raise ValueError(
            f"expected images of one kind in {name}; found several of these: image files, tar archives, Parquet files. "
            f"Name one kind by a pattern, such as '{name}/**/*.jpg'"
        )
    report(listing.left_out, name, logger)
    for make, shards in found:
        source = make(folder, shards, name, image_column)
        source.left_out.merge(listing.left_out)
        return source
    return file_source(folder, listing.images, name, shard_size, listing.left_out)


def _open_files(
    root: Path, files: list[Path], name: str, shard_size: int, image_column: str | None, rules: FileRules
) -> ImageSource:
    for matches, make in _KINDS_OF_SHARDS:
        if all(matches(file) for file in files):
            if make is _parquet and not holds_images(files[0], image_column):
                break
            rules.require_table(name)
            return make(root, files, name, image_column)
    if files[0].suffix.lower() in TABLE_SUFFIXES:
        if len(files) > 1:
            raise ValueError(f"{name}: expected one table of paths; got {len(files)}: embed them one after another")
        return table_source(files[0], image_column, shard_size, rules)
    rules.require_table(name)
    check_images(root, files, name)
    return file_source(root, files, name, shard_size)


def _parquet(root: Path, files: list[Path], name: str, image_column: str | None) -> ImageSource:
    return parquet_source(root, files, name, image_column)


def _tars(root: Path, files: list[Path], name: str, image_column: str | None) -> ImageSource:
    return tar_source(root, files, name)


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() == ".parquet"


# For each kind of shard: whether a file has the name of this kind, and the function that makes a source of such files.
_KINDS_OF_SHARDS: list[tuple[Callable[[Path], bool], Callable[[Path, list[Path], str, str | None], ImageSource]]] = [
    (is_tar, _tars),
    (_is_parquet, _parquet),
]


def _fixed_part(pattern: Path) -> Path:
    """Return the folder before the first wildcard."""
    fixed = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)
