"""The images to evaluate on: all splits but the training split, without unreadable images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datasets import DatasetDict

from ...data.readable_images import readable_images

if TYPE_CHECKING:
    from collections.abc import Callable


def evaluated_data(
    loaded: DatasetDict, *, on_bad_image: str = "error", is_trusted: bool = False, say: Callable[[str], None] = print
) -> tuple[DatasetDict, dict[str, int]]:
    """Select the splits to evaluate on, and check their images.

    Args:
        loaded: A data set from `load_retrieval_dataset`.
        on_bad_image: `"error"` to refuse unreadable images, or `"skip"` to leave them out.
        is_trusted: Whether to take all images as readable, without decoding each of them once.
        say: Prints a line about the progress.

    Returns:
        All splits but `train`; and the number of unreadable images by split, for the splits that have any.

    Raises:
        ValueError: There is no split but `train`, or images are unreadable and `on_bad_image` is `"error"`.
    """
    dataset = DatasetDict({split: rows for split, rows in loaded.items() if split != "train"})
    if not dataset:
        raise ValueError("expected images to test on; all are in the training split: leave --test_fraction 0 out")
    if is_trusted:
        return dataset, {}
    say("Reading each image once ...")
    dataset, bad = readable_images(dataset, on_bad_image)
    return dataset, {split: len(images) for split, images in bad.items()}
