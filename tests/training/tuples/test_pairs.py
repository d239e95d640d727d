"""Pairs after images are left out of the data set."""

import pytest
from datasets import Dataset

from hf_vitret.training.tuples.pairs import kept_pairs

PAIRS = Dataset.from_dict({"anchor": [0, 1, 3, 2, 3], "positive": [1, 0, 2, 3, 1]})
IDS = ["a", "b", "c", "d"]


def test_kept_pairs_are_of_the_same_images() -> None:
    kept_ids = ["d", "b", "a"]
    kept = kept_pairs(PAIRS, IDS, kept_ids)
    names = [(kept_ids[row["anchor"]], kept_ids[row["positive"]]) for row in kept]
    assert names == [("a", "b"), ("b", "a"), ("d", "b")]


def test_pairs_are_unchanged_if_no_image_is_left_out() -> None:
    assert kept_pairs(PAIRS, IDS, IDS) is PAIRS


def test_no_pair_left_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"both images among the 1 kept ones; none of the 5 pairs has\. Restore"):
        kept_pairs(PAIRS, IDS, ["c"])
