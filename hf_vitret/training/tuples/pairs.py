"""Pairs of training images, renumbered after some images are left out of the data set."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...data.schema import column_values

if TYPE_CHECKING:
    from datasets import Dataset

PAIR_COLUMNS = ("anchor", "positive")


def kept_pairs(pairs: "Dataset", image_ids: Sequence[str], kept_ids: Sequence[str]) -> "Dataset":
    """Renumber pairs for a data set without some of its images, and leave out the pairs of those images.

    Args:
        pairs: A data set with the int64 columns `anchor` and `positive`, rows of `image_ids`.
        image_ids: Unique ids of all images.
        kept_ids: Ids of the images that are kept, in any order.

    Returns:
        The pairs whose images are both kept, as rows of `kept_ids`, in the order of `pairs`.

    Raises:
        ValueError: No pair is kept.
    """
    from datasets import Dataset

    if list(image_ids) == list(kept_ids):
        return pairs
    rows = {image_id: row for row, image_id in enumerate(kept_ids)}
    anchors, positives = ([rows.get(image_ids[row]) for row in column_values(pairs, name)] for name in PAIR_COLUMNS)
    kept = [(anchor, positive) for anchor, positive in zip(anchors, positives) if None not in (anchor, positive)]
    if not kept:
        raise ValueError(
            f"expected a pair with both images among the {len(kept_ids)} kept ones; none of the {len(pairs)} pairs "
            "has. Restore the images that cannot be read, or take other pairs"
        )
    return Dataset.from_dict({name: list(column) for name, column in zip(PAIR_COLUMNS, zip(*kept))})
