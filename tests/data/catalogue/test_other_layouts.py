"""A zoo of tables, Parquet files, saved data sets and archives: what is loaded, or the words of the refusal.

The zoo of folders is in `image_folders/test_layouts.py`.
"""

import io
import json
import logging
import re
import tarfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from PIL import Image as PilImage

from hf_vitret.data import load_retrieval_dataset
from hf_vitret.embedding.sources.opening import open_source

NAMES = [f"{number}.jpg" for number in range(8)]
CLASSES = "aabbccdd"  # of the images above: four classes of two images
HALVES = {"train": 4, "test": 4}


def encoded(number=0, file_format="JPEG"):
    stream = io.BytesIO()
    PilImage.new("RGB", (40, 40), (20 * number, 90, 9)).save(stream, file_format)
    return stream.getvalue()


def write_images(folder, names=NAMES):
    for number, name in enumerate(names):
        path = Path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(number))


def csv(names=NAMES, classes=CLASSES, header="image,label", separator=","):
    return "\n".join([header, *(separator.join(row) for row in zip(names, classes))]) + "\n"


def write_csv(text, images=NAMES, folder=".", name="t.csv"):
    def write():
        write_images(folder, images)
        Path(name).write_text(text, encoding="utf-8")
        return name

    return write


def write_jsonl(rows, name="t.jsonl"):
    def write():
        write_images(".")
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return name

    return write


def write_parquet(columns, name="t.parquet"):
    def write():
        write_images(".")
        pq.write_table(pa.table(columns), name)
        return name

    return write


def saved(splits):
    """Write a DatasetDict: name of a split -> images of each class, classes."""

    def write():
        features = Features(image=Image(), label=ClassLabel(names=list("abcd")))
        found = DatasetDict()
        for name, (count, classes) in splits.items():
            rows = [(letter, number) for letter in classes for number in range(count)]
            images = [{"bytes": encoded(number), "path": None} for _, number in rows]
            labels = ["abcd".index(letter) for letter, _ in rows]
            found[name] = Dataset.from_dict({"image": images, "label": labels}, features=features)
        found.save_to_disk("saved")
        return "saved"

    return write


IDS = [f"{number}b7c{number}" for number in range(8)]
SHARDED = [f"{each[0]}/{each[1]}/{each[2]}/{each}.jpg" for each in IDS]
BYTES = [{"bytes": encoded(number), "path": None} for number in range(8)]
LISTS = "landmark_id,images\n" + "".join(f"{c},{2 * n} {2 * n + 1}\n" for n, c in enumerate("abcd"))

# How it is written; options; images of each split; words of the log.
TAKEN = {
    "a CSV": (write_csv(csv()), {}, HALVES, None),
    "a TSV": (write_csv(csv(header="image\tlabel", separator="\t"), name="t.tsv"), {}, HALVES, None),
    "a CSV of Excel, with a byte order mark": (write_csv("\ufeff" + csv()), {}, HALVES, None),
    "a CSV with line ends of Windows": (write_csv(csv().replace("\n", "\r\n")), {}, HALVES, None),
    "other columns": (
        write_csv(csv(header="file,sku")),
        {"image_column": "file", "label_column": "sku"},
        HALVES,
        None,
    ),
    "whole numbers as classes": (write_csv(csv(classes="11223344")), {}, HALVES, None),
    "classes with commas and quotes": (
        write_csv(csv(classes=['"x, y"', '"x, y"', '"say ""a"""', '"say ""a"""', "b", "b", "c", "c"])),
        {},
        HALVES,
        None,
    ),
    "JSON Lines": (
        write_jsonl([{"image": name, "label": c} for name, c in zip(NAMES, CLASSES)]),
        {},
        HALVES,
        None,
    ),
    "JSON Lines of numbers": (
        write_jsonl([{"image": name, "label": ord(c)} for name, c in zip(NAMES, CLASSES)]),
        {},
        HALVES,
        None,
    ),
    "Parquet of paths": (write_parquet({"image": NAMES, "label": list(CLASSES)}), {}, HALVES, None),
    "Parquet of encoded images": (write_parquet({"image": BYTES, "label": list(CLASSES)}), {}, HALVES, None),
    "Parquet of bytes": (
        write_parquet({"image": [each["bytes"] for each in BYTES], "label": list(CLASSES)}),
        {},
        HALVES,
        None,
    ),
    "a column split of train and test": (
        write_csv(
            csv(classes=[f"{c},{s}" for c, s in zip(CLASSES, ["train"] * 4 + ["test"] * 4)], header="image,label,split")
        ),
        {},
        HALVES,
        "split",
    ),
    "a column split of train and val": (
        write_csv(
            csv(classes=[f"{c},{s}" for c, s in zip(CLASSES, ["train"] * 4 + ["val"] * 4)], header="image,label,split")
        ),
        {},
        HALVES,
        "val as test",
    ),
    "a folder of images beside the table": (
        write_csv(csv(), folder="photos"),
        {"image_dir": "photos"},
        HALVES,
        None,
    ),
    "ids without an ending": (
        write_csv(csv([str(number) for number in range(8)], header="id,landmark_id"), folder="train"),
        {"image_dir": "train", "image_suffix": ".jpg", "image_column": "id", "label_column": "landmark_id"},
        HALVES,
        None,
    ),
    "ids below sharded folders": (
        write_csv(csv(IDS), images=SHARDED, folder="train"),
        {"image_dir": "train", "image_suffix": ".jpg"},
        HALVES,
        None,
    ),
    "lists of ids": (
        write_csv(LISTS),
        {"image_column": "images", "label_column": "landmark_id", "image_suffix": ".jpg"},
        HALVES,
        None,
    ),
    "test_fraction 0": (write_csv(csv()), {"test_fraction": 0}, {"train": 8}, "test_fraction is 0"),
    "saved: train alone": (saved({"train": (3, "abcd")}), {}, {"train": 6, "test": 6}, None),
    "saved: train and test": (saved({"train": (3, "ab"), "test": (2, "cd")}), {}, {"train": 6, "test": 4}, None),
    "saved: train and validation": (
        saved({"train": (3, "ab"), "validation": (2, "cd")}),
        {},
        {"train": 6, "test": 4},
        "validation as test",
    ),
    "saved: train, query and gallery": (
        saved({"train": (2, "ab"), "query": (1, "cd"), "gallery": (3, "cd")}),
        {},
        {"train": 4, "query": 2, "gallery": 6},
        None,
    ),
    "saved: splits by name": (
        saved({"learn": (2, "ab"), "check": (3, "cd")}),
        {"train_split": "learn", "test_split": "check"},
        {"train": 4, "test": 6},
        None,
    ),
}

URLS = [f"https://example.org/{number}.jpg" for number in range(8)]
# How it is written; options; words of the refusal.
REFUSED = {
    "an empty CSV": (write_csv(""), {}, r"t\.csv: .*empty"),
    "a header alone": (write_csv("image,label\n"), {}, r"t\.csv: .*no rows|t\.csv: .*header"),
    "semicolons": (write_csv(csv(header="image;label", separator=";")), {}, r"t\.csv.*;"),
    "no column of classes": (write_csv(csv(header="image,sku")), {}, r"no column 'label'.*image, sku"),
    "a missing class": (write_csv(csv(classes=["a", "", *"bbccdd"])), {}, r"'label'.*1 row.*: 1"),
    "fractions as classes": (
        write_jsonl([{"image": name, "label": 0.5} for name in NAMES]),
        {},
        r"'label' is .*; expected text, whole numbers",
    ),
    "a row of three cells": (write_csv(csv() + "x.jpg,a,b\n"), {}, r"t\.csv: rows 8 "),
    "two columns of one name": (write_csv(csv(header="image,image")), {}, r"t\.csv: .*more than once: image"),
    "images that are not there": (write_csv(csv(), images=NAMES[:5]), {}, r"3 of 8 images are not there.*5\.jpg"),
    "one image twice": (write_csv(csv([*NAMES[:7], "0.jpg"])), {}, r"more than once: 0\.jpg"),
    "a column of URLs": (write_csv(csv(URLS)), {}, "img2dataset"),
    "an absolute path": (write_csv(csv(["/etc/hostname", *NAMES[1:]])), {}, "outside|allow_outside"),
    "a path that leads out": (write_csv(csv(["../x.jpg", *NAMES[1:]])), {}, "outside|allow_outside"),
    "a file URL": (write_csv(csv(["file:///etc/hostname", *NAMES[1:]])), {}, "outside|allow_outside"),
    "Parquet with a path of this machine": (
        write_parquet({"image": [{"bytes": None, "path": "/etc/hostname"}, *BYTES[1:]], "label": list(CLASSES)}),
        {},
        "outside|allow_outside",
    ),
    "a line that is no JSON": (
        write_csv('{"image": "0.jpg"}\n{x}\n', name="t.jsonl"),
        {},
        r"t\.jsonl, line 2: not JSON",
    ),
    "a line that is a list": (write_csv("[1]\n", name="t.jsonl"), {}, r"t\.jsonl, line 1: expected a JSON object"),
    "a class of text and of numbers": (
        write_jsonl([{"image": "0.jpg", "label": "a"}, {"image": "1.jpg", "label": 1}]),
        {},
        r"t\.jsonl, line 2: column 'label' is 1",
    ),
    "one class": (write_csv(csv(classes="aaaaaaaa")), {}, "at least 2 classes in the train split, got 1"),
    "a class an image": (write_csv(csv(classes="abcdefgh")), {}, "each of the 8 classes has one image"),
    "another kind of file": (write_csv(csv(), name="t.xlsx"), {}, r"t\.xlsx: expected a folder, or a table"),
    "saved: unknown splits": (
        saved({"one": (2, "ab"), "two": (2, "cd")}),
        {},
        r"one.*two.*train_split",
    ),
    "a split that is not there": (write_csv(csv()), {"test_split": "dev"}, "no split 'dev'"),
}


def test_the_zoo_is_large_enough():
    assert len(TAKEN) + len(REFUSED) >= 45


@pytest.mark.parametrize("layout", TAKEN)
def test_what_is_loaded(layout, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    write, options, expected, words = TAKEN[layout]
    found = load_retrieval_dataset("catalogue", write(), **options)
    assert {name: len(split) for name, split in found.items()} == expected
    assert sum(len(split) for split in found.values()) == sum(expected.values())
    for split in found.values():
        assert split[0]["image"].size == (40, 40)
    if words is not None:
        assert words in caplog.text


@pytest.mark.parametrize("layout", REFUSED)
def test_what_is_refused(layout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write, options, words = REFUSED[layout]
    with pytest.raises((ValueError, OSError)) as caught:
        load_retrieval_dataset("catalogue", write(), **options)
    assert re.search(words, str(caught.value), re.DOTALL), str(caught.value)
    assert "object at 0x" not in str(caught.value)


def write_tar(path, members):
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


JPEG = encoded()
# Members of an archive; the images that are embedded, by their ids.
TARS = {
    "WebDataset": ({"0.jpg": JPEG, "0.json": b"{}", "1.jpg": JPEG, "1.cls": b"3"}, ["0", "1"]),
    "other endings": ({"0.jfif": JPEG, "1.jpe": JPEG, "2.JPG": JPEG}, ["0", "1", "2"]),
    "no ending": ({"photo": JPEG, "notes": b"text"}, ["photo"]),
    "folders": ({"a/0.jpg": JPEG, "b/0.jpg": JPEG}, ["a/0", "b/0"]),
}


@pytest.mark.parametrize("layout", TARS)
def test_what_is_embedded_of_an_archive(layout, tmp_path):
    members, expected = TARS[layout]
    write_tar(tmp_path / "x.tar", members)
    source = open_source(tmp_path / "x.tar")
    rows = [row for shard in source.shards for row in shard.read()]
    assert [re.sub(r"\.\w+$", "", row.image_id.removeprefix("x.tar/")) for row in rows] == expected


def test_features_of_a_hub_data_set_are_kept(tmp_path):
    """A saved split whose labels have names keeps the names."""
    features = Features(image=Image(), label=ClassLabel(names=["cup", "jug"]), note=Value("string"))
    rows = {"image": BYTES[:4], "label": [0, 0, 1, 1], "note": ["x"] * 4}
    DatasetDict(train=Dataset.from_dict(rows, features=features)).save_to_disk(tmp_path / "saved")
    found = load_retrieval_dataset("catalogue", tmp_path / "saved", test_fraction=0)
    assert found["train"].features["label"].names == ["cup", "jug"]
