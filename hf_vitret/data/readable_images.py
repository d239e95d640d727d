"""Leave unreadable images out of a data set, identically in every process of a run."""

from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from datasets import DatasetDict

from .image_checks import BadImage, describe_bad_images, find_bad_images


def readable_images(dataset: DatasetDict, on_bad_image: str) -> tuple[DatasetDict, dict[str, list[BadImage]]]:
    """Decode every image once, in the main process, and leave out the unreadable ones in all processes.

    Args:
        dataset: Splits with the columns `image` and `image_id`.
        on_bad_image: `"error"` to raise an error for unreadable images, `"skip"` to leave them out.

    Returns:
        The splits without the unreadable images; and the unreadable images of each split that has any.

    Raises:
        ValueError: Images are unreadable and `on_bad_image` is `"error"`; or all images of a split are unreadable.
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
