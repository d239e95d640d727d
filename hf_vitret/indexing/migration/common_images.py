"""`common_images`: the images that two folders of embeddings share, from which an `EmbeddingMap` is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...embedding.shards import ID_COLUMN
from ..image_records import check_unique, ids_column

if TYPE_CHECKING:
    import pyarrow as pa

    from ...embedding.shards import EmbeddingFolder


@dataclass(frozen=True)
class CommonImages:
    """Images that two models have embedded.

    Attributes:
        old: `(num_images, old_dim)` float32, embeddings of the old model.
        new: `(num_images, new_dim)` float32, embeddings of the new model, of the same images in the same order.
        labels: `(num_images,)` integers or strings; None if no column of labels was given.
        num_common: Number of images that the folders share, which can be more than were drawn.
    """

    old: torch.Tensor
    new: torch.Tensor
    labels: np.ndarray | None
    num_common: int

    def split(self, share: float, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Divide the images at random into those to fit on and those to hold out: by class if there are labels.

        Args:
            share: Share of the classes or images to hold out, above 0 and below 1.
            seed: Seed of the draw.

        Returns:
            Rows to fit on and rows that are held out, int64, ascending; neither is empty.

        Raises:
            ValueError: The share is outside its range, or there are too few classes or images.
        """
        if not 0 < share < 1:
            raise ValueError(f"expected a share to hold out above 0 and below 1; got {share}")
        groups = np.arange(len(self.old)) if self.labels is None else np.unique(self.labels, return_inverse=True)[1]
        num_groups = int(groups.max()) + 1
        num_held_out = round(share * num_groups)
        if not 0 < num_held_out < num_groups:
            what = "images" if self.labels is None else "classes"
            raise ValueError(
                f"expected more {what} in both folders than {num_groups}, to fit on some and hold out others"
            )
        chosen = np.random.default_rng(seed).permutation(num_groups)[:num_held_out]
        is_held_out = np.isin(groups, chosen)
        return torch.from_numpy(np.flatnonzero(~is_held_out)), torch.from_numpy(np.flatnonzero(is_held_out))


def common_images(
    old: EmbeddingFolder, new: EmbeddingFolder, *, label_column: str | None = None, max_images: int, seed: int = 0
) -> CommonImages:
    """Read the embeddings of the images whose ids are in both folders, a few thousand rows at a time.

    Args:
        old: Embeddings of the old model.
        new: Embeddings of the new model.
        label_column: Column of the classes, in the new folder or else in the old folder. None: no labels.
        max_images: Largest number of images to read, drawn at random.
        seed: Seed of the draw.

    Raises:
        ValueError: The folders share no image, a folder has an id twice, or neither folder has the column.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    holder = None if label_column is None else _holder(old, new, label_column)
    columns = [_columns(folder, label_column if folder is holder else None) for folder in (old, new)]
    old_ids, new_ids = columns[0][0], columns[1][0]
    new_rows = pc.index_in(old_ids, value_set=new_ids).fill_null(-1).to_numpy(zero_copy_only=False)
    old_rows = np.flatnonzero(new_rows >= 0)
    num_common = len(old_rows)
    if not num_common:
        raise ValueError(
            f"expected images in common; {old.folder} and {new.folder} share no image_id, such as {old_ids[0]} and "
            f"{new_ids[0]}: embed the same images with both models, from the same folder"
        )
    if num_common > max_images:
        old_rows = np.sort(np.random.default_rng(seed).choice(old_rows, max_images, replace=False))
    rows = (old_rows, new_rows[old_rows])
    labels = None
    if holder is not None:
        side = 0 if holder is old else 1
        labels = columns[side][1].take(pa.array(rows[side])).to_numpy(zero_copy_only=False)
    return CommonImages(_collect(old, rows[0]), _collect(new, rows[1]), labels, num_common)


def _holder(old: EmbeddingFolder, new: EmbeddingFolder, label_column: str) -> EmbeddingFolder:
    for folder in (new, old):
        if label_column in folder.manifest.columns:
            return folder
    known = ", ".join(dict.fromkeys([*new.manifest.columns, *old.manifest.columns]))
    raise ValueError(f"expected a column of the embeddings, {known or 'which have none'}; got {label_column!r}")


def _columns(folder: EmbeddingFolder, label_column: str | None) -> tuple[pa.Array, Any]:
    """Return the ids of a folder, which must be unique, and its labels if a column is given."""
    import pyarrow as pa

    ids: list[pa.Array] = []
    labels: list[pa.ChunkedArray] = []
    for shard in folder.shards():
        ids.append(ids_column(shard.table[ID_COLUMN]))
        if label_column is not None:
            labels += shard.table[label_column].chunks
    if not ids:
        raise ValueError(f"expected embeddings in {folder.folder}; it has none: its bad_images.json has the reasons")
    column = pa.concat_arrays(ids)
    check_unique(column)
    if label_column is None:
        return column, None
    named = pa.concat_arrays(labels)
    if named.null_count or not (pa.types.is_integer(named.type) or pa.types.is_string(named.type)):
        raise ValueError(
            f"expected integers or strings in the column {label_column}, one for each image; got {named.type}, "
            f"{named.null_count} missing"
        )
    return column, named


def _collect(folder: EmbeddingFolder, rows: np.ndarray) -> torch.Tensor:
    """Read some rows in the given order: `(num_rows, dim)` float32."""
    found = torch.empty(len(rows), folder.dim)
    order = rows.argsort()
    ordered, first = rows[order], 0
    for shard in folder.shards():
        stop = first + len(shard.embeddings)
        low, high = np.searchsorted(ordered, (first, stop))
        found[order[low:high]] = torch.from_numpy(shard.embeddings[ordered[low:high] - first])
        first = stop
    return found
