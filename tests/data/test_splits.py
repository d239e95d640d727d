"""Class-disjoint splits: against a naive loop, and by their properties."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, Value
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_vitret.data import choose_test_classes, split_by_class


@given(
    names=st.lists(st.text(min_size=1, max_size=4), min_size=4, max_size=30, unique=True),
    fraction=st.floats(0.26, 0.5),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=50, deadline=None)
def test_choice_depends_on_names_fraction_and_seed_alone(names, fraction, seed):
    chosen = choose_test_classes(names, fraction, seed)
    assert chosen == choose_test_classes(names[::-1], fraction, seed)
    assert len(chosen) == len(set(chosen)) == int(len(names) * fraction)
    order = np.random.default_rng(seed).permutation(len(names))
    assert chosen == [sorted(names)[order[row]] for row in range(int(len(names) * fraction))]


def test_split_keeps_every_image_once_and_shares_no_class():
    names = ["fan", "cup", "sofa", "mug", "not used"]
    labels = [0, 1, 2, 3, 3, 2, 1, 0, 0]
    features = Features(label=ClassLabel(names=names), image_id=Value("string"))
    dataset = Dataset.from_dict({"label": labels, "image_id": list("abcdefghi")}, features=features)
    splits = split_by_class(dataset)
    expected_test = choose_test_classes(["fan", "cup", "sofa", "mug"])  # "not used" has no image: it is no class
    expected = {"train": [], "test": []}
    for label, image_id in zip(labels, "abcdefghi"):
        expected["test" if names[label] in expected_test else "train"].append(image_id)
    assert {name: split["image_id"][:] for name, split in splits.items()} == expected
    assert splits["train"].features == splits["test"].features == features


@pytest.mark.parametrize("fraction", [1, -0.1, 1.5, float("nan")])
def test_fraction_is_a_share(fraction):
    with pytest.raises(ValueError, match=r"expected test_fraction in \[0, 1\), a share of the classes; got"):
        choose_test_classes(["a", "b", "c"], fraction)


@pytest.mark.parametrize("fraction", [0, 0.0])
def test_a_fraction_of_zero_leaves_everything_in_train(fraction):
    features = Features(label=ClassLabel(names=["a", "b"]), image_id=Value("string"))
    dataset = Dataset.from_dict({"label": [1, 0, 1], "image_id": ["x", "y", "z"]}, features=features)
    splits = split_by_class(dataset, fraction)
    assert choose_test_classes(["a", "b"], fraction) == []
    assert {name: split["image_id"][:] for name, split in splits.items()} == {"train": ["x", "y", "z"]}


def test_too_few_classes():
    with pytest.raises(ValueError, match=r"2 classes at test_fraction=0.5 leave 1 and 1"):
        choose_test_classes(["a", "b"])
    with pytest.raises(ValueError, match=r"3 classes at test_fraction=0.1 leave 3 and 0"):
        choose_test_classes(["a", "b", "c"], 0.1)


def test_one_name_per_image_is_refused():
    with pytest.raises(ValueError, match="expected unique class names"):
        choose_test_classes(["a", "a", "b", "c"])
