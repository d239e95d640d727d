"""The images of a run that can be read, the same on every process."""

from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import DatasetDict

from .image_checks import BadImage, describe_bad_images, find_bad_images


def readable_images(dataset: DatasetDict, on_bad_image: str) -> tuple[DatasetDict, dict[str, list[BadImage]]]:
    """Decode every image once, on the main process, and leave out what cannot be read.

    Args:
        dataset: Splits with the columns `image` and `image_id`.
        on_bad_image: `"error"`, or `"skip"` to leave them out.

    Returns:
        The splits without them, and by split those left out; no entry for a split without any.

    Raises:
        ValueError: Some images cannot be read, and `on_bad_image` is `"error"`; or a split has no others.
    """
    found: list[Any] = [None]
    if PartialState().is_main_process:
        found = [{name: find_bad_images(split) for name, split in dataset.items()}]
    broadcast_object_list(found)
    bad: dict[str, list[BadImage]] = {name: images for name, images in found[0].items() if images}
    if bad and on_bad_image == "error":
        raise ValueError("\n".join(f"{name}: {describe_bad_images(bad[name], len(dataset[name]))}" for name in bad))
    kept = DatasetDict(dataset)
    for name, images in bad.items():
        rows = {image.row for image in images}
        if len(rows) == len(dataset[name]):
            raise ValueError(f"{name}: none of the {len(rows)} images can be read; the first: {images[0]}")
        kept[name] = dataset[name].select([row for row in range(len(dataset[name])) if row not in rows])
    return kept, bad
