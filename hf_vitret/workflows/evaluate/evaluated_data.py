"""The images that an evaluation is of: the splits that are not trained on, without those that cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datasets import DatasetDict

from ...data.readable_images import readable_images

if TYPE_CHECKING:
    from collections.abc import Callable


def evaluated_data(
    loaded: DatasetDict, *, on_bad_image: str = "error", is_trusted: bool = False, say: Callable[[str], None] = print
) -> tuple[DatasetDict, dict[str, int]]:
    """Return the splits that are evaluated.

    Args:
        loaded: A data set, as `load_retrieval_dataset` gives it.
        on_bad_image: `"error"`, or `"skip"` to leave out what cannot be read.
        is_trusted: Whether to skip decoding each image once.
        say: Prints a line about what is going on.

    Returns:
        The splits but `train`; and by split how many images cannot be read, where there are any.

    Raises:
        ValueError: There is no split to test on, or images cannot be read and `on_bad_image` is `"error"`.
    """
    dataset = DatasetDict({split: rows for split, rows in loaded.items() if split != "train"})
    if not dataset:
        raise ValueError("expected images to test on; all are in the training split: leave --test_fraction 0 out")
    if is_trusted:
        return dataset, {}
    say("Reading each image once ...")
    dataset, bad = readable_images(dataset, on_bad_image)
    return dataset, {split: len(images) for split, images in bad.items()}
