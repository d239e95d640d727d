"""A zoo of folders of images: what each looks like, and what is loaded, or the words with which it is refused."""

import json
import logging
import re
from itertools import product

import pytest
from datasets import Dataset

from hf_vitret.data import load_retrieval_dataset


def files(*patterns):
    """Return paths: `"train|test/a|b/3"` is images 0.jpg, 1.jpg and 2.jpg in train/a, train/b, test/a and test/b."""
    names = []
    for pattern in patterns:
        *folders, count = pattern.split("/")
        for choice in product(*(part.split("|") for part in folders)):
            names += ["/".join([*choice, f"{number}.jpg"]) for number in range(int(count))]
    return names


def table(names, label, header="file_name,label"):
    """Return a CSV of images and their classes."""
    return "\n".join([header, *(f"{name},{label(name, row)}" for row, name in enumerate(names))]) + "\n"


ABCD = "a|b|c|d"
PARTS = files("part0|part1|part2|part3/4")
CLASS_OF_PART = {"metadata.csv": table(PARTS, lambda _, row: f"class{row % 4}")}
SKUS = files("|".join(f"sku{number}" for number in range(6)) + "/front|back|side|top/2")
FLAT = files("train|test/8")
FLAT_TABLE = table(FLAT, lambda _, row: "wxyz"[row % 4])

# What it looks like; images; other files; options; images and classes of each split; words of the log.
TAKEN = {
    # folders of classes
    "a folder a class": (files(f"{ABCD}/3"), {}, {}, {"halves": (12, "abcd")}, None),
    "a class called train": (files("car|train|ship/2"), {}, {}, {"halves": (6, "car ship train")}, None),
    "a class called index": (files("index|car|ship/2"), {}, {}, {"halves": (6, "car index ship")}, None),
    "one folder above the classes": (files(f"photos/{ABCD}/3"), {}, {}, {"halves": (12, "abcd")}, None),
    "categories of different classes": (
        files("shoes/a|b/2", "hats/c|d/2"),
        {},
        {},
        {"halves": (8, "abcd")},
        None,
    ),
    "train_split=train without split folders": (
        files(f"{ABCD}/3"),
        {},
        {"train_split": "train"},
        {"halves": (12, "abcd")},
        None,
    ),
    # split folders
    **{
        f"{train} and {test}": (
            files(f"{train}/{ABCD}/3", f"{test}/{ABCD}/2"),
            {},
            {},
            {"train": (12, "abcd"), "test": (8, "abcd")},
            log,
        )
        for train, test, log in [
            ("train", "test", None),
            ("Train", "Test", "took Train as train, Test as test by name"),
            ("TRAIN", "test", "took TRAIN as train by name"),
            ("training", "testing", "took training as train, testing as test by name"),
            ("training", "validation", "took training as train, validation as test by name"),
            ("train", "val", "took val as test by name"),
            ("train", "valid", "took valid as test by name"),
            ("train", "dev", "took dev as test by name"),
            ("train", "eval", "took eval as test by name"),
        ]
    },
    "splits with different classes": (
        files("train/a|b/3", "val/c|d/2"),
        {},
        {},
        {"halves": (10, "abcd")},
        "took val as test",
    ),
    "train, query and gallery": (
        files("train|query|gallery/a|b/2"),
        {},
        {},
        {"train": (4, "ab"), "query": (4, "ab"), "gallery": (4, "ab")},
        None,
    ),
    "train, query and base": (
        files("Train|Query|Base/a|b/2"),
        {},
        {},
        {"train": (4, "ab"), "query": (4, "ab"), "gallery": (4, "ab")},
        "took Train as train, Query as query, Base as gallery by name",
    ),
    "train, query and index": (
        files("train|query|index/a|b/2"),
        {},
        {},
        {"train": (4, "ab"), "query": (4, "ab"), "gallery": (4, "ab")},
        "took index as gallery by name",
    ),
    "train, val and test, val chosen": (
        files("train|val|test/a|b/2"),
        {},
        {"test_split": "val"},
        {"train": (4, "ab"), "test": (4, "ab")},
        "left out 4 images of splits that are not used: test/a/0.jpg, .*; name others with --train_split",
    ),
    "splits of unknown names, chosen": (
        files("fit|held/a|b/2"),
        {},
        {"train_split": "fit", "test_split": "held"},
        {"train": (4, "ab"), "test": (4, "ab")},
        None,
    ),
    "only the training split is named": (
        files("fit|val/a|b/2"),
        {},
        {"train_split": "fit"},
        {"train": (4, "ab"), "test": (4, "ab")},
        "took val as test",
    ),
    "base and query, chosen": (
        files("base|query/a|b/2"),
        {},
        {"train_split": "base", "test_split": "query"},
        {"train": (4, "ab"), "test": (4, "ab")},
        None,
    ),
    "all splits of any name, to train on everything": (
        files("base|query|extra/a|b/2", "loose/c/2"),
        {},
        {"test_fraction": 0, "class_level": -1},
        {"train": (14, "abc")},
        "all 14 images are trained on",
    ),
    "train, val and test, to train on everything": (
        files("train|val|test/a|b/2"),
        {},
        {"test_fraction": 0},
        {"train": (12, "ab")},
        r"those of val \(4 images\) and test \(4 images\) too|those of test \(4 images\) and val \(4 images\) too",
    ),
    "train and test are classes": (
        files("train|test|car/2"),
        {},
        {"class_level": 1},
        {"halves": (6, "car test train")},
        None,
    ),
    # nested folders
    "products with views, the first level": (
        SKUS,
        {},
        {"class_level": 1},
        {"halves": (48, "sku0 sku1 sku2 sku3 sku4 sku5")},
        None,
    ),
    "products with views, the last level": (
        SKUS,
        {},
        {"class_level": -1},
        {"halves": (48, "back front side top")},
        None,
    ),
    "views below a split": (
        files("train|val/s|t|u/front|back/2"),
        {},
        {"class_level": 1},
        {"train": (12, "stu"), "test": (12, "stu")},
        "took val as test",
    ),
    "the folder above the views": (
        files("shoes/s|t/front|back/2", "hats/u/front|back/2"),
        {},
        {"class_level": -2, "test_fraction": 0},
        {"train": (12, "stu")},
        "all 12 images are trained on",
    ),
    "a few names in several folders": (
        files("shoes/a|b|c/2", "hats/a|d|e/2"),
        {},
        {},
        {"halves": (12, "abcde")},
        r"1 of 5 folder names are in several folders: a \('a' in 2 of 2\).*class_level=1, the first folder: 2 classes "
        r"\(hats, shoes\); class_level=-1, the folder that holds the image: 5 classes \(a, b, c, d \.\.\. and 1 more\)",
    ),
    "folders of different depth": (
        files("shoes/a|b/2", "c/2", "sale/a/2"),
        {},
        {},
        {"halves": (8, "abc")},
        "1 of 3 folder names are in several folders",
    ),
    # metadata files
    "shards with metadata.csv": (
        PARTS,
        CLASS_OF_PART,
        {},
        {"halves": (16, "class0 class1 class2 class3")},
        None,
    ),
    "images and metadata.csv in one folder": (
        files("8"),
        {"metadata.csv": table(files("8"), lambda _, row: "wxyz"[row % 4])},
        {},
        {"halves": (8, "wxyz")},
        None,
    ),
    "flat splits with one metadata.csv": (
        FLAT,
        {"metadata.csv": FLAT_TABLE},
        {},
        {"train": (8, "wxyz"), "test": (8, "wxyz")},
        None,
    ),
    "flat splits with a metadata.jsonl each": (
        files("train|val/8"),
        {
            f"{split}/metadata.jsonl": "".join(
                json.dumps({"file_name": name, "label": row % 4}) + "\n" for row, name in enumerate(files("8"))
            )
            for split in ("train", "val")
        },
        {},
        {"train": (8, "0123"), "test": (8, "0123")},
        "took val as test",
    ),
    "metadata.csv with a column split": (
        PARTS,
        {
            "metadata.csv": table(
                PARTS, lambda _, row: f"{'wxyz'[row % 4]},{'train' if row < 8 else 'dev'}", "file_name,label,split"
            )
        },
        {},
        {"train": (8, "wxyz"), "test": (8, "wxyz")},
        "took dev as test",
    ),
    "images without a row": (
        PARTS,
        {"metadata.csv": table(PARTS[:-3], lambda _, row: f"class{row % 4}")},
        {},
        {"halves": (13, "class0 class1 class2 class3")},
        "left out 3 images that the metadata files do not list: part3/1.jpg, part3/2.jpg, part3/3.jpg; add a row",
    ),
    "metadata.csv beside class folders that count": (
        files(f"{ABCD}/3"),
        {"metadata.csv": table(files(f"{ABCD}/3"), lambda *_: "a caption", "file_name,text")},
        {"class_level": -1},
        {"halves": (12, "abcd")},
        "class_level is given, so folders name the classes and metadata.csv is not read",
    ),
    "another label column": (
        PARTS,
        {"metadata.csv": table(PARTS, lambda _, row: f"class{row % 4}", "file_name,sku")},
        {"label_column": "sku"},
        {"halves": (16, "class0 class1 class2 class3")},
        None,
    ),
}

# What it looks like; images; other files; options; the words of the refusal.
REFUSED = {
    "train, val and test": (
        files("train|val|test/a|b/2"),
        {},
        {},
        r"has the splits test \(4 images\), train \(4 images\), val \(4 images\); say which to use with train_split "
        r"and test_split, or query_split and gallery_split \(on the command line --train_split",
    ),
    "train and training": (files("train|training/a|b/2"), {}, {}, r"has the splits train \(4 images\), training"),
    "a third folder beside the splits": (
        files("train|test/a|b/2", "docs/1"),
        {},
        {},
        r"has the splits docs \(1 images\), test \(4 images\), train \(4 images\); say which",
    ),
    "base and query": (
        files("base|query/a|b/2"),
        {},
        {},
        r"has the splits base \(4 images\), query \(4 images\), and none to train on. .*train_split='base', "
        r"test_split='query' trains on the first",
    ),
    "splits of unknown names": (
        files(f"fit|held/{ABCD}/3"),
        {},
        {},
        r"4 of 4 names of sub-folders \(a, b, c, d\) are in several of the top folders fit \(12 images\), held \(12 "
        r"images\). If the top folders are splits, .*--train_split NAME --test_split NAME.*class_level=1, the first "
        r"folder: 2 classes \(fit, held\); class_level=-1, the folder that holds the image: 4 classes",
    ),
    "test and val without train": (files("test|val/a|b/2"), {}, {}, "2 of 2 names of sub-folders .*--train_split"),
    "a split that is not there": (files("fit|held/a|b/2"), {}, {"test_split": "x"}, "no split 'x'; it has fit, held"),
    "a test split alone is named": (
        files("fit|held/a|b/2"),
        {},
        {"test_split": "held"},
        r"no split 'train'; it has fit, held: say with train_split",
    ),
    "flat splits": (
        files("train|test/8"),
        {},
        {},
        r"the folders test \(8 images\), train \(8 images\) have the names of splits, and hold images without a folder "
        r"of their class.*metadata.csv.*--class_level 1",
    ),
    "loose images in a split": (files("train|test/a|b/2", "train/1"), {}, {}, "train holds images beside its class"),
    "loose images beside splits": (files("train|test/a|b/2", "1"), {}, {}, "holds images beside its class folders"),
    "products with views": (
        SKUS,
        {},
        {},
        r"4 of 4 names of sub-folders \(back, front, side, top\) are in several of the top folders sku0 \(8 images\).*"
        r"class_level=1, the first folder: 6 classes \(sku0, sku1, sku2, sku3 \.\.\. and 2 more\); class_level=-1, "
        r".*: 4 classes",
    ),
    "views below a split, no level": (
        files("train|test/s|t|u/front|back/2"),
        {},
        {},
        r"2 of 2 folder names are in several folders: back, front \('back' in 3 of 3\). They look like parts of a "
        r"class.*--class_level N.*class_level=1, the first folder: 3 classes \(s, t, u\); class_level=-1, .*: 2 "
        r"classes",
    ),
    "three levels with views": (
        files("shoes/s|t/front|back/2", "hats/u|v/front|back/2"),
        {},
        {},
        r"2 of 2 folder names .*class_level=1, the first folder: 2 classes \(hats, shoes\); class_level=2, folder 2 of "
        r"the path: 4 classes \(s, t, u, v\); class_level=-1",
    ),
    "a level that is too deep": (
        files(f"{ABCD}/3"),
        {},
        {"class_level": 2},
        "class_level=2, but these folders with images are not 2 levels deep: a, b, c, d",
    ),
    "level 0": (files(f"{ABCD}/3"), {}, {"class_level": 0}, r"expected class_level 1 or more.*or -1 or less.*got 0"),
    "a table with a level": (
        files(f"{ABCD}/3"),
        {"t.csv": table(files(f"{ABCD}/3"), lambda name, _: name[0], "image,label")},
        {"data": "t.csv", "class_level": 1},
        r"expected class_level \(--class_level\) with a folder that has folders of images only; got 1",
    ),
    "metadata without labels": (
        files(f"{ABCD}/3"),
        {"metadata.csv": table(files(f"{ABCD}/3"), lambda *_: "a caption", "file_name,text")},
        {},
        r"metadata.csv: no column 'label'; it has file_name, text. .*label_column=.*class_level=-1",
    ),
    "metadata without paths": (
        PARTS,
        {"metadata.csv": table(PARTS, lambda *_: "x", "path,label")},
        {},
        r"metadata.csv: no column 'file_name'; it has path, label. .*image_column=",
    ),
    "rows without an image": (
        PARTS,
        {"metadata.csv": table([*PARTS, "part9/0.jpg", "0.jpg"], lambda _, row: f"class{row % 4}")},
        {},
        r"metadata.csv: 2 of 18 rows have no image: part9/0.jpg \(row 16\), 0.jpg \(row 17\)",
    ),
    "a row twice": (
        PARTS,
        {"metadata.csv": table([*PARTS, PARTS[0]], lambda _, row: f"class{row % 4}")},
        {},
        r"images that have several rows: part0/0.jpg \(row 16, and row 0 of metadata.csv\)",
    ),
    "one image in two metadata files": (
        PARTS,
        {**CLASS_OF_PART, "part0/metadata.csv": table(files("4"), lambda *_: "z")},
        {},
        r"part0/metadata.csv: images that have several rows: part0/0.jpg \(row 0, and row 0 of metadata.csv\)",
    ),
    "paths that lead out": (
        PARTS,
        {"metadata.csv": table(["../x.jpg", "/etc/x.jpg", "file:///etc/x.jpg", "part0/../../x.jpg"], lambda *_: "x")},
        {},
        r"got '../x.jpg' \(row 0\), '/etc/x.jpg' \(row 1\), 'file:///etc/x.jpg' \(row 2\), 'part0/../../x.jpg' "
        r"\(row 3\)",
    ),
    "a row without a path": (
        PARTS,
        {"metadata.csv": table([PARTS[0], ""], lambda *_: "x")},
        {},
        "the path is missing in rows 1",
    ),
    "metadata files of different types": (
        FLAT,
        {
            "train/metadata.csv": table(files("8"), lambda _, row: row % 4),
            "test/metadata.jsonl": "".join(json.dumps({"file_name": name, "label": 1}) + "\n" for name in files("8")),
        },
        {},
        "expected the same columns and types in all metadata files",
    ),
    "flat train, val and test with metadata": (
        files("train|val|test/4"),
        {"metadata.csv": table(files("train|val|test/4"), lambda _, row: "wxyz"[row % 4])},
        {},
        "has the splits test .*, train .*, val .*; say which",
    ),
}


@pytest.fixture
def load(tmp_path, write_images):
    """Return the function that makes a folder and loads it."""

    def make_and_load(images, others, options):
        folder = write_images(tmp_path / "shop", images)
        for name, content in others.items():
            (folder / name).write_text(content)
        options = dict(options)
        return load_retrieval_dataset("catalogue", folder / options.pop("data", "."), **options)

    return make_and_load


@pytest.mark.parametrize("layout", TAKEN)
def test_what_is_loaded(load, caplog, layout):
    images, others, options, expected, log = TAKEN[layout]
    with caplog.at_level(logging.WARNING, "hf_vitret"):
        dataset = load(images, others, options)
    found = {}
    for name, split in dataset.items():
        names = [split.features["label"].int2str(label) for label in set(split["label"][:])]
        found[name] = (len(split), sorted(names))
    if "halves" in expected:  # which classes are set aside is tested with `choose_test_classes`
        assert list(found) == ["train", "test"]
        found = {"halves": tuple(train + test for train, test in zip(*found.values()))}
        found["halves"][1].sort()
    assert found == {
        name: (size, classes.split() if " " in classes else list(classes)) for name, (size, classes) in expected.items()
    }
    ids = [image_id for split in dataset.values() for image_id in split["image_id"]]
    assert set(ids) <= set(images)
    if log is None:
        assert not caplog.text
    else:
        assert re.search(log, caplog.text), caplog.text


@pytest.mark.parametrize("layout", REFUSED)
def test_what_is_refused(load, layout):
    images, others, options, message = REFUSED[layout]
    with pytest.raises(ValueError, match=message):
        load(images, others, options)


@pytest.mark.parametrize("options", [{"data_dir": "saved"}, {"dataset_name": "user/name"}])
def test_a_level_where_there_are_no_folders(tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    Dataset.from_dict({"image": ["a"], "label": ["a"]}).save_to_disk("saved")
    with pytest.raises(ValueError, match=r"expected class_level \(--class_level\) with a folder .* are a column"):
        load_retrieval_dataset("catalogue", **options, class_level=1)
