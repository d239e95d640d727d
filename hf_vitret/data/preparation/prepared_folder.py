"""The manifest of a prepared folder, `prepare.json`: settings, counts and checksums."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...files.checksums import sha256_of
from ...files.json_values import write_json
from ..schema import describe_split
from .parquet_shards import DATA_FOLDER, name_shards, read_column

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

MANIFEST_NAME = "prepare.json"
# Increase this number when the same settings give other files. Folders of other numbers are refused.
FORMAT = 1


def is_prepared(folder: str | PathLike[str]) -> bool:
    """Return whether `prepare_dataset` has written a folder."""
    return (Path(folder) / MANIFEST_NAME).is_file()


def read_manifest(folder: str | PathLike[str]) -> dict[str, Any]:
    """Read `prepare.json`.

    Args:
        folder: The prepared folder.

    Returns:
        The manifest, with these keys:
            format: Number of the format.
            settings: The settings of `prepare_dataset`, including `source`.
            splits: Name of each split to the counts of `describe_split`, to `num_source_images` and to `skipped`, the
                images left out, each with `row`, `image_id` and `reason`; and, if there are any, to `mended`, the
                truncated JPEG files that were completed, in the same form.
            files: Path of each file to `num_images`, `num_bytes` and `sha256`.
            left_out_files: The files of the source that no split has, by reason (`LeftOut.to_json`); absent if there
                are none.

    Raises:
        FileNotFoundError: The folder is not a prepared one.
    """
    path = Path(folder) / MANIFEST_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder} is not a prepared data set: expected {MANIFEST_NAME} in it. Make one with prepare_dataset or "
            "hf-vitret prepare"
        )
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return manifest


def write_manifest(
    folder: Path,
    settings: Mapping[str, Any],
    splits: Mapping[str, Mapping[str, Any]],
    left_out: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Rename the shards to their final names, and write the manifest with their counts and checksums.

    Args:
        folder: The folder, with all shards in `data/`.
        settings: The settings of `prepare_dataset`.
        splits: Name of each split to `num_source_images`, `skipped` and `mended`, which the shards do not contain.
        left_out: The files of the source that no split has, by reason.
    """
    import pyarrow.parquet as pq
    from datasets import Dataset

    manifest: dict[str, Any] = {"format": FORMAT, "settings": settings, "splits": {}, "files": {}}
    manifest |= {"left_out_files": list(left_out)} if left_out else {}
    for name, facts in splits.items():
        shards = name_shards(folder / DATA_FOLDER, name)
        counts = describe_split(Dataset.from_dict({"label": read_column(shards, "label")}))
        manifest["splits"][name] = {**counts, **facts}
        for shard in shards:
            manifest["files"][shard.relative_to(folder).as_posix()] = {
                "num_images": pq.read_metadata(shard).num_rows,
                "num_bytes": shard.stat().st_size,
                "sha256": sha256_of(shard),
            }
    write_json(folder / MANIFEST_NAME, manifest)


def check_files(folder: str | PathLike[str]) -> dict[str, Any]:
    """Check that each file of a prepared folder is there and has the checksum in the manifest.

    Args:
        folder: The prepared folder.

    Returns:
        The manifest.

    Raises:
        FileNotFoundError: The folder is not a prepared one, or files are missing.
        ValueError: Files have changed since they were written.
    """
    manifest = read_manifest(folder)
    absent = [name for name in manifest["files"] if not (Path(folder) / name).is_file()]
    if absent:
        raise FileNotFoundError(f"{folder}: {', '.join(absent)} missing; remove the folder and prepare it again")
    changed = [name for name, facts in manifest["files"].items() if sha256_of(Path(folder) / name) != facts["sha256"]]
    if changed:
        raise ValueError(
            f"{folder}: {', '.join(changed)} changed since they were written (another SHA-256 than in "
            f"{MANIFEST_NAME}); remove the folder and prepare it again"
        )
    return manifest
