"""Pairs after images were left out."""

import pytest
from datasets import Dataset

from hf_vitret.training.tuples.pairs import kept_pairs

PAIRS = Dataset.from_dict({"anchor": [0, 1, 3, 2, 3], "positive": [1, 0, 2, 3, 1]})
IDS = ["a", "b", "c", "d"]


def test_they_name_the_same_images_as_before() -> None:
    kept_ids = ["d", "b", "a"]
    kept = kept_pairs(PAIRS, IDS, kept_ids)
    names = [(kept_ids[row["anchor"]], kept_ids[row["positive"]]) for row in kept]
    assert names == [("a", "b"), ("b", "a"), ("d", "b")]


def test_where_nothing_is_left_out_they_stay() -> None:
    assert kept_pairs(PAIRS, IDS, IDS) is PAIRS


def test_without_any_left_it_says_so() -> None:
    with pytest.raises(ValueError, match="none of the 5 pairs has both of its images among the 1 left"):
        kept_pairs(PAIRS, IDS, ["c"])
