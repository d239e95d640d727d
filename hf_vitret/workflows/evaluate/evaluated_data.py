"""The images to evaluate on: all splits but the training split, without unreadable images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datasets import DatasetDict

from ...data.readable_images import CheckedImages, readable_images

if TYPE_CHECKING:
    from collections.abc import Callable


def evaluated_data(
    loaded: DatasetDict, *, on_bad_image: str = "error", is_trusted: bool = False, say: Callable[[str], None] = print
) -> CheckedImages:
    """Select the splits to evaluate on, and check their images.

    Args:
        loaded: A data set from `load_retrieval_dataset`.
        on_bad_image: `"error"` to refuse unreadable images, `"skip"` to leave them out, or `"mend"` to complete
            truncated JPEG files and leave the others out.
        is_trusted: Whether to take all images as readable, without decoding each of them once.
        say: Prints a line about the progress.

    Returns:
        All splits but `train`, and their images that were left out or mended.

    Raises:
        ValueError: There is no split but `train`, or images are unreadable and `on_bad_image` is `"error"`.
    """
    dataset = DatasetDict({split: rows for split, rows in loaded.items() if split != "train"})
    if not dataset:
        raise ValueError("expected images to test on; all are in the training split: leave --test_fraction 0 out")
    if is_trusted:
        return CheckedImages(dataset, {}, {})
    say("Reading each image once ...")
    return readable_images(dataset, on_bad_image)
