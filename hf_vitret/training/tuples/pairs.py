"""Pairs of rows after some of the images were left out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...data.schema import column_values

if TYPE_CHECKING:
    from datasets import Dataset

PAIR_COLUMNS = ("anchor", "positive")


def kept_pairs(pairs: "Dataset", image_ids: Sequence[str], kept_ids: Sequence[str]) -> "Dataset":
    """Let pairs refer to what is left of a data set: those of an image that is gone are gone too.

    Args:
        pairs: Int64 columns `anchor` and `positive`, rows of `image_ids`.
        image_ids: Names of the images, each once.
        kept_ids: Names of those that are left, in any order.

    Returns:
        Pairs of rows of `kept_ids`, in the order of `pairs`.

    Raises:
        ValueError: None is left.
    """
    from datasets import Dataset

    if list(image_ids) == list(kept_ids):
        return pairs
    rows = {image_id: row for row, image_id in enumerate(kept_ids)}
    anchors, positives = ([rows.get(image_ids[row]) for row in column_values(pairs, name)] for name in PAIR_COLUMNS)
    kept = [(anchor, positive) for anchor, positive in zip(anchors, positives) if None not in (anchor, positive)]
    if not kept:
        raise ValueError(f"none of the {len(pairs)} pairs has both of its images among the {len(kept_ids)} left")
    return Dataset.from_dict({name: list(column) for name, column in zip(PAIR_COLUMNS, zip(*kept))})
