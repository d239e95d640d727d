"""Splits by name and by a column: what is taken, what is asked about."""

import logging
from itertools import permutations

import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from hf_vitret.data import load_retrieval_dataset
from hf_vitret.data.catalogue.splits import SplitNames, find_role, split_rows

FILES = [f"{name}/{number}.jpg" for name in ("cup", "fan", "mug") for number in range(4)]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("train", "train"),
        ("train test", "train test"),
        ("Train TEST", "Train TEST"),
        ("training validation", "training validation"),
        ("train dev", "train dev"),
        ("train query gallery", "train query gallery"),
        ("training query base", "training query base"),
        ("train query index", "train query index"),
    ],
)
def test_known_names_are_taken_in_any_order(names, expected):
    for order in permutations(names.split()):
        chosen = SplitNames().resolve(dict.fromkeys(order, 3), "x")
        assert " ".join(chosen.values()) == expected
        assert tuple(chosen) in [("train",), ("train", "test"), ("train", "query", "gallery")]


@pytest.mark.parametrize(
    "names",
    ["train val test", "train Train", "fit held", "train extra", "test", "train query", "train gallery test", "val"],
)
def test_other_names_are_asked_about(names):
    with pytest.raises(ValueError, match=r"x: has the splits .* \(3 images\).*; say which to use with train_split"):
        SplitNames().resolve(dict.fromkeys(names.split(), 3), "x")


def test_queries_and_gallery_alone_are_asked_about():
    with pytest.raises(ValueError, match=r"none to train on\. Say which to train on with train_split"):
        SplitNames().resolve({"query": 3, "index": 3}, "x")


@pytest.mark.parametrize(
    ("given", "names", "expected"),
    [
        ({"test": "val"}, "train val test", {"train": "train", "test": "val"}),
        ({"test": "b"}, "Training a b", {"train": "Training", "test": "b"}),
        ({"train": "a"}, "a", {"train": "a"}),
        ({"train": "a"}, "a dev", {"train": "a", "test": "dev"}),
        ({"train": "a"}, "a query base", {"train": "a", "query": "query", "gallery": "base"}),
        ({"query": "a", "gallery": "b"}, "a b train c", {"train": "train", "query": "a", "gallery": "b"}),
    ],
)
def test_named_splits_are_taken(given, names, expected):
    assert SplitNames(**given).resolve(dict.fromkeys(names.split(), 3), "x") == expected


@pytest.mark.parametrize(
    ("given", "names", "message"),
    [
        ({"test": "x"}, "train a", "no split 'x'; it has train, a"),
        ({"test": "b"}, "a b", "no split 'train'; it has a, b: say with train_split"),
        ({"test": "b"}, "train training b", "no split 'train'; it has train, training, b"),
        ({"train": "a"}, "a b", r"has the splits a \(3 images\), b"),
        ({"train": "a"}, "a train test", r"has the splits a \(3 images\), train"),
    ],
)
def test_named_splits_that_do_not_suffice(given, names, message):
    with pytest.raises(ValueError, match=message):
        SplitNames(**given).resolve(dict.fromkeys(names.split(), 3), "x")


def test_roles():
    assert find_role(" Validation ") == "test"
    assert find_role("cup") is None


# --- the column split of a table


@pytest.fixture
def write_table(tmp_path, write_images):
    def write(values, column="split"):
        write_images(tmp_path, FILES)
        rows = [f"{name},{name.split('/')[0]},{value}" for name, value in zip(FILES, values)]
        (tmp_path / "t.csv").write_text("\n".join([f"image,label,{column}", *rows]) + "\n")
        return tmp_path / "t.csv"

    return write


def sizes(dataset):
    return {name: len(split) for name, split in dataset.items()}


def test_a_column_of_known_names_is_taken_and_said(write_table, caplog):
    table = write_table(["Train", "train", "train", "val"] * 3)
    with pytest.raises(
        ValueError, match=r"has the splits Train \(3 images\), train \(6 images\), val \(3 images\); say"
    ):
        load_retrieval_dataset("catalogue", table)
    table = write_table(["train", "train", "train", "val"] * 3)
    with caplog.at_level(logging.WARNING, "hf_vitret"):
        dataset = load_retrieval_dataset("catalogue", table)
    assert sizes(dataset) == {"train": 9, "test": 3}
    assert dataset["test"]["image_id"][:] == [name for name in FILES if "/3." in name]
    assert "the column 'split' divides the rows: train (9 images), val (3 images)" in caplog.text
    assert "took val as test by name" in caplog.text


def test_a_column_of_other_names_is_asked_about(write_table, caplog):
    table = write_table(["fit", "fit", "a", "b"] * 3)
    with pytest.raises(
        ValueError, match=r"has the splits fit \(6 images\), a .*, b .*; say which .*--train_split NAME"
    ):
        load_retrieval_dataset("catalogue", table)
    with caplog.at_level(logging.WARNING, "hf_vitret"):
        dataset = load_retrieval_dataset("catalogue", table, train_split="fit", test_split="a")
    assert sizes(dataset) == {"train": 6, "test": 3}
    assert "left out 3 images of splits that are not used: b, row 0, b, row 1, b, row 2; name others" in caplog.text
    dataset = load_retrieval_dataset("catalogue", table, train_split="fit", query_split="a", gallery_split="b")
    assert sizes(dataset) == {"train": 6, "query": 3, "gallery": 3}
    assert sizes(load_retrieval_dataset("catalogue", table, test_fraction=0)) == {"train": 12}


def test_a_column_of_one_value(write_table):
    dataset = load_retrieval_dataset("catalogue", write_table(["train"] * 12))
    assert sizes(dataset) in [{"train": 4, "test": 8}, {"train": 8, "test": 4}]


def test_a_split_that_is_missing_in_a_row(write_table):
    with pytest.raises(ValueError, match=r"t.csv: column 'split' is empty in 1 of 12 rows: 11. Give each row a split"):
        load_retrieval_dataset("catalogue", write_table(["train"] * 6 + ["test"] * 5 + [""]))


def test_a_column_split_may_be_the_class(write_table):
    dataset = load_retrieval_dataset("catalogue", write_table(["a", "b", "c", "d"] * 3), label_column="split")
    assert dataset["train"].features["label"].names == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("values", "feature", "expected"),
    [
        (["train", "test", "train"], Value("string"), {"train": [0, 2], "test": [1]}),
        ([0, 1, 0], ClassLabel(names=["train", "test"]), {"train": [0, 2], "test": [1]}),
        ([0, 1, 0], Value("int64"), "column 'split' is int64; expected text"),
        ([0, -1, 0], ClassLabel(names=["train"]), "is empty in 1 of 3 rows: 1"),
    ],
)
def test_types_of_the_column(values, feature, expected):
    rows = Dataset.from_dict(
        {"row": [0, 1, 2], "split": values}, features=Features({"row": Value("int64"), "split": feature})
    )
    if isinstance(expected, str):
        with pytest.raises(ValueError, match=expected):
            split_rows(rows, "label", "x")
    else:
        assert {name: part["row"][:] for name, part in split_rows(rows, "label", "x").items()} == expected


def test_data_sets_with_known_names(tmp_path, draw, caplog):
    part = Dataset.from_dict(
        {"image": [{"bytes": draw(str(row)), "path": None} for row in range(4)], "label": ["a", "a", "b", "b"]},
        features=Features(image=Image(), label=Value("string")),
    )
    DatasetDict(train=part, validation=part).save_to_disk(tmp_path / "saved")
    with caplog.at_level(logging.WARNING, "hf_vitret"):
        dataset = load_retrieval_dataset("catalogue", tmp_path / "saved")
    assert sizes(dataset) == {"train": 4, "test": 4}
    assert "took validation as test by name" in caplog.text
