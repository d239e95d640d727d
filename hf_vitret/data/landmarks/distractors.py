"""Stream the million distractors of the revisited data sets from their archives, without extracting them.

Reference:
    Radenovic, Iscen, Tolias, Avrithis, Chum, "Revisiting Oxford and Paris", arXiv 1803.11285, section 3.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..schema import name_some
from ..untrusted.archives.extraction import MACOS_PREFIX, MAX_BYTES, MAX_MEMBERS
from ..untrusted.archives.members import ArchiveError, Limits
from ..untrusted.archives.tar_members import named_damage, tar_members
from ..untrusted.truncated_jpegs import completed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

    from datasets import IterableDataset

NAME = "revisitop1m"
ARCHIVE = re.compile(rf"{NAME}\.([0-9]+)\.tar\.gz")
LIST = f"{NAME}.txt"
NUM_ARCHIVES = 100


def stream_distractors(data_dir: str | PathLike[str], *, check_counts: bool = True) -> IterableDataset:
    """Stream the distractors from `revisitop1m.1.tar.gz` to `revisitop1m.100.tar.gz`.

    Each archive is a shard: `datasets` distributes the archives over workers and processes
    (`split_dataset_by_node`), and a stream that continues from a `state_dict` continues in the archive where it
    stopped. A gzipped archive can only be read from its beginning, so images come in the order of the archives and of
    the members in each archive.

    Args:
        data_dir: The folder with the archives, or a folder that has them in `jpg/`, `revisitop1m/` or
            `revisitop1m/jpg/`. The official list, `revisitop1m.txt`, may be in the folder of the archives or in its
            parent.
        check_counts: Whether to check that all hundred archives are there.

    Returns:
        An `IterableDataset` with the columns `image` and `image_id` (the path in the archive, with its extension, as
        in the official list). If the list is there, also `row` (int64): the position of the image in the list, from 0,
        which restores the official order. Of a JPEG file that is cut off, the part that is there is read.

    Raises:
        FileNotFoundError: There are no archives, or some are missing.
        ValueError: While the stream is read: an archive is damaged, has an unsafe member, or has an image that is not
            in the list.
    """
    from datasets import Features, Image, IterableDataset, Value

    archives, image_list = _find_archives(Path(data_dir).expanduser(), check_counts=check_counts)
    columns: dict[str, Any] = {"image": Image(), "image_id": Value("string")}
    if image_list is not None:
        columns["row"] = Value("int64")
    return IterableDataset.from_generator(
        _read_archives,
        features=Features(columns),
        # `datasets` takes a list among the arguments for the shards.
        gen_kwargs={"archives": [str(archive) for archive in archives], "image_list": image_list},
    )


def _find_archives(given: Path, *, check_counts: bool) -> tuple[list[Path], str | None]:
    """Return the archives in the order of their numbers, and the official list if there is one."""
    for inside in ("", "jpg", NAME, f"{NAME}/jpg"):
        folder = given / inside
        names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
        numbers = {int(match[1]): name for name in names if (match := ARCHIVE.fullmatch(name))}
        missing = [number for number in range(1, NUM_ARCHIVES + 1) if number not in numbers]
        if numbers and missing and check_counts:
            raise FileNotFoundError(
                f"{folder}: {len(missing)} of {NUM_ARCHIVES} archives are missing: numbers {name_some(missing)}. "
                "Download them, or pass check_counts=False to use a part (results are then not comparable)"
            )
        if numbers:
            lists = [str(parent / LIST) for parent in (folder, folder.parent) if (parent / LIST).is_file()]
            return [folder / numbers[number] for number in sorted(numbers)], lists[0] if lists else None
    raise FileNotFoundError(
        f"expected {NAME}.<number>.tar.gz in {given}, found none. Get the hundred archives from "
        f"http://ptak.felk.cvut.cz/revisitop/revisitop1m/jpg/{NAME}.{{1..100}}.tar.gz (and {LIST} from the folder "
        "above, for the official order), and pass the folder that has them"
    )


def _read_archives(archives: list[str], image_list: str | None) -> Iterator[dict[str, Any]]:
    rows: dict[str, int] | None = None
    if image_list is not None:
        names = Path(image_list).read_text(encoding="utf-8").split("\n")
        rows = {name.strip(): row for row, name in enumerate(names) if name.strip()}
    for archive in archives:
        with named_damage(archive):
            for member in tar_members(Path(archive), Limits(MAX_MEMBERS, MAX_BYTES)):
                if member.path.name.startswith(MACOS_PREFIX):
                    continue
                image_id = str(member.path)
                image = {"bytes": completed(member.content.read()), "path": None}
                example: dict[str, Any] = {"image": image, "image_id": image_id}
                if rows is not None:
                    if image_id not in rows:
                        raise ArchiveError(f"has the image {image_id!r}, which is not in {image_list}")
                    example["row"] = rows[image_id]
                yield example
