"""Write a data set once as Parquet shards of small images, so that no epoch has to decode large images."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...files.atomic_writes import flush, write_text
from ...files.locks import one_process
from ..image_checks import ON_BAD_IMAGE
from ..schema import name_some
from .checks import check_same, check_settings, check_splits, source_ids
from .parquet_shards import DATA_FOLDER, find_shards, parquet_shard, write_group
from .prepared_folder import FORMAT, MANIFEST_NAME, is_prepared, read_manifest, write_manifest
from .reencoding import DEFAULT_QUALITY, Encoding
from .row_groups import encode_groups
from .row_source import START, RowSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from datasets import Dataset, IterableDataset

WORK_PREFIX = ".preparing-"
SETTINGS_NAME = "settings.json"
# About 13,000 photographs of 256 pixels. A data set has few files, and an interruption costs minutes of work.
SHARD_SIZE = 256 * 2**20


def prepare_dataset(
    dataset: Mapping[str, Dataset | IterableDataset],
    output_dir: str | PathLike[str],
    *,
    short_side: int = 256,
    image_format: str = "jpeg",
    quality: int = DEFAULT_QUALITY,
    shard_size: int = SHARD_SIZE,
    num_workers: int | None = None,
    on_bad_image: str = "error",
    source: str = "",
    left_out: Sequence[Mapping[str, Any]] = (),
    progress: bool = True,
) -> Path:
    """Write a data set with its images re-encoded at a small size, in the Hub's layout.

    Repeat an interrupted call with the same arguments: it keeps the finished shards, and the result is the same byte
    for byte. Until it is complete, the folder has another name beside `output_dir`. If several processes call the
    function at the same time, one works and the others wait for it.

    Args:
        dataset: Name of each split to its rows, in memory or streamed (`DatasetDict`, `IterableDatasetDict`), with the
            columns `image`, `label` and `image_id` of `load_retrieval_dataset`. `label` may be text. Without `image_id`
            the ids are `<split>/<row>`.
        output_dir: The folder to make: `data/<split>-00000-of-00003.parquet` and so on, and `prepare.json`.
        short_side: Short side of the stored images in pixels; smaller images are not enlarged. Use the resize size of
            the model (256 for an input of 224 pixels).
        image_format: `"jpeg"`, `"webp"` or `"png"`.
        quality: Quality of JPEG and WebP, 1 to 100.
        shard_size: A shard is closed when its images have this size in bytes.
        num_workers: Number of threads that decode and encode (Pillow releases the interpreter's lock for that); `None`:
            one per CPU, at most 16. At most a few hundred encoded images are in memory.
        on_bad_image: `"error"`: raise an error for unreadable images. `"skip"`: leave them out and list them in
            `prepare.json`. `"mend"`: complete truncated JPEG files, as far as that makes them readable, leave the
            others out, and list both. A call with `"skip"` or `"mend"` may continue one with `"error"`, but not the
            reverse.
        source: The origin of the data, for `prepare.json`: a name, an id on the Hub or a URL.
        left_out: The files of the data that no split has, by reason, as `LeftOut.to_json` returns them, for
            `prepare.json`.
        progress: Whether to show a progress bar.

    Returns:
        `output_dir`. `load_retrieval_dataset("catalogue", data_dir=output_dir)` loads it with the same splits, labels
        and ids, and `datasets.load_dataset(output_dir)` with the same features.

    Raises:
        ValueError: A setting is outside its domain; an image is unreadable; the splits have other columns or different
            features; `output_dir`, finished or begun, was prepared with other settings or from other images.
        FileExistsError: `output_dir` is a file, or a folder with other content.
    """
    if on_bad_image not in ON_BAD_IMAGE:
        raise ValueError(f"expected on_bad_image to be one of {', '.join(ON_BAD_IMAGE)}; got {on_bad_image!r}")
    if shard_size < 1:
        raise ValueError(f"expected shard_size in bytes, at least 1; got {shard_size}")
    encoding = Encoding(short_side, image_format, quality)
    settings = {**asdict(encoding), "shard_size": shard_size, "on_bad_image": on_bad_image, "source": source}
    check_splits(dataset)
    output_dir = Path(output_dir).expanduser().resolve()
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    work = output_dir.with_name(WORK_PREFIX + output_dir.name)
    with one_process(work):
        if is_prepared(output_dir):
            check_same(output_dir, dataset, settings)
        elif output_dir.exists() and (not output_dir.is_dir() or any(output_dir.iterdir())):
            raise FileExistsError(f"{output_dir} is there and is no prepared data set; name another output_dir")
        else:
            if is_prepared(work):  # interrupted after the manifest was written
                check_same(work, dataset, settings)
            else:
                _begin(work, settings)
                facts = {
                    name: _write_split(work, name, split, encoding, settings, num_workers, progress)
                    for name, split in dataset.items()
                }
                write_manifest(work, settings, facts, left_out)
            _finish(work, output_dir)
    return output_dir


def _begin(work: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder to work in, or check the settings of the existing one; note the settings of this call."""
    noted = work / SETTINGS_NAME
    if noted.is_file():
        check_settings(work, json.loads(noted.read_text(encoding="utf-8")), settings)
    else:
        shutil.rmtree(work, ignore_errors=True)  # interrupted before it had settings, so that it has no shards
        (work / DATA_FOLDER).mkdir(parents=True)
    write_text(noted, json.dumps({"format": FORMAT, "settings": settings}))


def _write_split(
    work: Path,
    name: str,
    split: Dataset | IterableDataset,
    encoding: Encoding,
    settings: Mapping[str, Any],
    num_workers: int | None,
    progress: bool,
) -> dict[str, Any]:
    """Write the missing shards of a split.

    A note beside each shard holds the position at its end, and the skipped and mended images up to there.

    Returns:
        `num_source_images`, `skipped` and, if there are any, `mended`, for the manifest.
    """
    from tqdm.auto import tqdm

    position, data = START, work / DATA_FOLDER
    skipped: list[dict[str, Any]] = []
    mended: list[dict[str, Any]] = []
    number = len(find_shards(data, name))
    if number:
        note = json.loads(_note_path(work, name, number - 1).read_text(encoding="utf-8"))
        position, skipped, mended = (
            note if len(note) == 3 else [*note, []]
        )  # two entries in a folder that an earlier version began
    rows = RowSource(split, name, position)
    rows.check_ids(source_ids(work, name, skipped))
    groups = encode_groups(rows, encoding, num_workers, on_bad_image=settings["on_bad_image"])
    with tqdm(
        total=rows.expected_rows, initial=position["rows"], desc=f"Preparing {name}", unit="image", disable=not progress
    ) as bar:
        group = next(groups, None)
        while group is not None:
            with parquet_shard(data / f"{name}-{number:05d}.parquet", rows.features) as writer:
                num_bytes = 0
                while group is not None:
                    write_group(writer, group.rows)
                    bar.update(group.position["rows"] - position["rows"])
                    skipped, mended = skipped + group.skipped, mended + group.mended
                    position, num_bytes = group.position, num_bytes + group.num_bytes
                    if (
                        num_bytes >= settings["shard_size"]
                    ):  # the shard is closed before the next group is read, which can fail
                        break
                    group = next(groups, None)
                # The note is written before the shard gets its name: a shard without a note could not be continued.
                write_text(_note_path(work, name, number), json.dumps([position, skipped, mended], ensure_ascii=False))
            number += 1
            group = next(groups, None)
    if not number:
        raise ValueError(f"split {name!r} has no images that can be read")
    return {"num_source_images": position["rows"], "skipped": skipped, **({"mended": mended} if mended else {})}


def _note_path(work: Path, split: str, number: int) -> Path:
    return work / f"{split}-{number:05d}.json"


def _finish(work: Path, output_dir: Path) -> None:
    """Remove the notes, and rename the folder to its final name."""
    for note in work.glob("*.json"):
        if note.name != MANIFEST_NAME:
            note.unlink()
    if output_dir.exists():
        output_dir.rmdir()  # empty
    flush(work)
    work.rename(output_dir)
    flush(output_dir.parent)


def report_skipped(folder: str | PathLike[str]) -> str:
    """Describe the images that were left out of a prepared folder.

    Args:
        folder: The prepared folder.

    Returns:
        One line for each split with left-out images; empty if there are none.

    Raises:
        FileNotFoundError: The folder is not a prepared one.
    """
    return _report(folder, "skipped", "left out {} unreadable images")


def report_mended(folder: str | PathLike[str]) -> str:
    """Describe the truncated JPEG files that were completed in a prepared folder.

    Args:
        folder: The prepared folder.

    Returns:
        One line for each split with mended images; empty if there are none.

    Raises:
        FileNotFoundError: The folder is not a prepared one.
    """
    return _report(folder, "mended", "completed {} truncated JPEG files")


def _report(folder: str | PathLike[str], kind: str, phrase: str) -> str:
    """Count and name the images of one kind in the manifest, in a line for each split that has any."""
    lines = []
    for name, facts in read_manifest(folder)["splits"].items():
        if facts.get(kind):
            named = name_some([f"{one['image_id']} ({one['reason']})" for one in facts[kind]])
            lines.append(f"{name}: {phrase.format(len(facts[kind]))}: {named}")
    return "\n".join(lines)
