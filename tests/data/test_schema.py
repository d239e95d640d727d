"""The schema check names each fault; the description of a split has the right counts."""

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from hf_vitret.data import check_schema, describe_split
from hf_vitret.data.schema import column_values, name_some


def make_split(labels, image_ids, label_feature=None, image_id_feature=None):
    features = Features(
        image=Image(), label=label_feature or Value("int64"), image_id=image_id_feature or Value("string")
    )
    rows = {"image": [None] * len(labels), "label": labels, "image_id": image_ids}
    return Dataset.from_dict(rows, features=features)


@pytest.mark.parametrize("names", [("train", "test"), ("train", "query", "gallery"), ("train",)])
@pytest.mark.parametrize("label", [Value("int64"), ClassLabel(names=["a", "b"])])
def test_what_keeps_the_schema_is_returned_as_it_is(names, label):
    dataset = DatasetDict({name: make_split([0, 1], [f"{name}1", f"{name}2"], label) for name in names})
    assert check_schema(dataset, "mine") is dataset


@pytest.mark.parametrize(
    ("test_split", "message"),
    [
        (make_split([0, None], ["c", "d"]), r"'test': label is null in rows 1; give each row a label"),
        (
            make_split([0, -1], ["c", "d"], ClassLabel(names=["a", "b"])),
            r"'test': label is null in rows 1; give each row a label",
        ),
        (make_split([0, 1], [None, None]), r"'test': image_id is null in rows 0, 1"),
        (make_split([0, 1], ["a", "d"]), r"unique over all splits, but these repeat: 'a' \(train and test\)"),
        (make_split([0, 1], ["d", "d"]), r"these repeat: 'd' \(test and test\)"),
        (make_split([], []), r"'test': has no images"),
        (
            make_split([0.5, 1], ["c", "d"], Value("float32")),
            r"expected image: Image, label: ClassLabel or int64",
        ),
        (make_split([0], [7], None, Value("int64")), r"image_id: string; got"),
        (
            make_split([0], ["c"]).rename_column("label", "klass"),
            r"expected the columns .*, got image, klass",
        ),
    ],
)
def test_each_breach_is_named(test_split, message):
    with pytest.raises(ValueError, match=message):
        check_schema(DatasetDict(train=make_split([0, 1], ["a", "b"]), test=test_split), "mine")


def test_the_splits_are_the_schemas():
    train, query = make_split([0], ["a"]), make_split([0], ["b"])
    with pytest.raises(
        ValueError, match=r"the splits train \+ test or train \+ query \+ gallery or train, got train, query$"
    ):
        check_schema(DatasetDict(train=train, query=query), "mine")
    with pytest.raises(ValueError, match=r"got test$"):
        check_schema(DatasetDict(test=train), "mine")


def test_description_of_a_split():
    split = make_split([5, 5, 5, 7, 9, 9], [str(i) for i in range(6)])
    assert describe_split(split) == {
        "num_images": 6,
        "num_classes": 3,
        "min_images_per_class": 1,
        "median_images_per_class": 2,
        "max_images_per_class": 3,
        "num_single_image_classes": 1,
    }
    assert describe_split(split.select([]))["num_images"] == 0


def test_column_values_follow_a_selection():
    assert column_values(make_split([5, 6, 7], ["a", "b", "c"]).select([2, 0]), "label") == [7, 5]


def test_long_lists_are_cut_and_counted():
    assert name_some(list(range(3))) == "0, 1, 2"
    assert name_some(list(range(25))) == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 ... and 15 more"
