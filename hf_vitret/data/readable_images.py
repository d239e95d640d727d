"""Leave unreadable images out of a data set or mend them, identically in every process of a run."""

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import Dataset, DatasetDict, Image, concatenate_datasets

from .image_checks import BadImage, describe_bad_images, find_bad_images, mend_image
from .schema import name_some

logger = logging.getLogger(__name__)

_MENDED_AT_ONCE = 100  # images whose bytes are copied at a time


class CheckedImages(NamedTuple):
    """A data set of readable images.

    Attributes:
        dataset: The splits without unreadable images. A mended image stands in the row of the damaged one, with its
            bytes in memory; a data set with many of them is better written once by `prepare_dataset`.
        left_out: Split -> its images that were left out, for each split that has any.
        mended: Split -> its images that were mended, for each split that has any.
    """

    dataset: DatasetDict
    left_out: dict[str, list[BadImage]]
    mended: dict[str, list[BadImage]]


def readable_images(dataset: DatasetDict, on_bad_image: str) -> CheckedImages:
    """Decode every image once, in the main process, and mend or leave out the unreadable ones in all processes.

    Args:
        dataset: Splits with the columns `image` and `image_id`.
        on_bad_image: One of `ON_BAD_IMAGE`.

    Returns:
        The readable images, and the others.

    Raises:
        ValueError: Images are unreadable and `on_bad_image` is `"error"`; all images of a split are unreadable; or the
            file of an image changes during the call.
    """
    found: list[Any] = [None]
    if PartialState().is_main_process:
        found = [{name: find_bad_images(split, mend=on_bad_image == "mend") for name, split in dataset.items()}]
    broadcast_object_list(found)
    bad: dict[str, list[BadImage]] = {name: images for name, images in found[0].items() if images}
    if bad and on_bad_image == "error":
        raise ValueError("\n".join(f"{name}: {describe_bad_images(bad[name], len(dataset[name]))}" for name in bad))
    checked = CheckedImages(DatasetDict(dataset), {}, {})
    for name, images in bad.items():
        mended = [image for image in images if image.is_mendable]
        left_out = [image for image in images if not image.is_mendable]
        if len(left_out) == len(dataset[name]):
            raise ValueError(f"{name}: none of the {len(left_out)} images can be read; the first: {left_out[0]}")
        checked.dataset[name] = _replace(dataset[name], mended, left_out)
        if mended:
            checked.mended[name] = mended
            if PartialState().is_main_process:
                logger.warning("%s: completed %d truncated JPEG files: %s", name, len(mended), name_some(mended))
        if left_out:
            checked.left_out[name] = left_out
    return checked


def _replace(split: Dataset, mended: Sequence[BadImage], left_out: Sequence[BadImage]) -> Dataset:
    """Put mended images in the place of damaged ones, and leave others out. The other images are not copied."""
    rows = list(range(len(split)))
    parts = [split]
    for start in range(0, len(mended), _MENDED_AT_ONCE):
        batch = mended[start : start + _MENDED_AT_ONCE]
        damaged = split.select([image.row for image in batch]).cast_column("image", Image(decode=False))
        parts.append(
            Dataset.from_dict(
                {**damaged.to_dict(), "image": [_mend(row, image) for row, image in zip(damaged["image"], batch)]},
                features=split.features,
            )
        )
    for number, image in enumerate(mended):
        rows[image.row] = len(split) + number
    without = {image.row for image in left_out}
    kept = [place for row, place in enumerate(rows) if row not in without]
    whole: Dataset = concatenate_datasets(parts) if mended else split
    return whole.select(kept)


def _mend(stored: Any, image: BadImage) -> dict[str, Any]:
    """Mend an image that could be mended when it was checked."""
    mended = mend_image(stored)
    if mended is None:
        raise ValueError(f"{image}. The file could be completed a moment ago; now it has other content: try again")
    return mended
