"""Class names that are probably no class of their own are found, with their counts; ordinary names are not."""

import unicodedata
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PilImage

from hf_vitret.data import load_retrieval_dataset
from hf_vitret.workflows.doctor.checks.class_names import PLACEHOLDERS, find_doubtful_names, fold, looks_like
from hf_vitret.workflows.doctor.checks.image_table import ImageTable


def make_table(labels, image_ids=None, split="train"):
    """Make a table of images that are not there, with the given class names."""
    names = sorted(set(labels))
    rows = {
        "image": [None] * len(labels),
        "label": [names.index(label) for label in labels],
        "image_id": image_ids or [f"{row}.jpg" for row in range(len(labels))],
    }
    features = Features(image=Image(), label=ClassLabel(names=names), image_id=Value("string"))
    return ImageTable({split: Dataset.from_dict(rows, features=features)})


def found_in(*arguments):
    return [(one.kind, one.detail) for one in find_doubtful_names(make_table(*arguments))]


def test_labels_of_a_table_as_the_user_wrote_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = ["image,label"]
    for number, label in enumerate(["Shoe", "shoe", "shoe ", "-1", "nan", "b"] * 2):
        PilImage.new("RGB", (40, 40), (20 * number, 90, 9)).save(f"{number}.png")
        rows.append(f"{number}.png,{label}")
    Path("t.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    findings = find_doubtful_names(ImageTable(load_retrieval_dataset("catalogue", "t.csv")))
    variants, *placeholders = findings
    assert variants.kind == "class_name_variants"
    assert variants.detail.startswith("3 names differ only in case, spaces or Unicode form: ")
    for name in ("'Shoe' (2 images)", "'shoe' (2 images)", "'shoe ' (2 images)"):
        assert name in variants.detail
    assert {image.image_id for image in variants.images} == {f"{n}.png" for n in (0, 1, 2, 6, 7, 8)}
    assert len({image.class_name for image in variants.images[:3]}) == 3  # the page shows one of each first
    assert sorted(one.detail for one in placeholders) == [
        "the name stands for a missing label: '-1' (2 images)",
        "the name stands for a missing label: 'nan' (2 images)",
    ]


@pytest.mark.parametrize("others", [["A b", "a  b", "a\u00a0b"], ["Straße x", "STRASSE X"], ["\uff11\uff12", "12"]])
def test_variants_are_one_finding(others):
    [(kind, detail)] = found_in([*others, "cup", "pot"])
    assert kind == "class_name_variants"
    assert detail.startswith(f"{len(others)} names differ")


@pytest.mark.parametrize("form", ["NFD", "NFKD"])
def test_names_that_look_the_same_are_written_apart(form):
    [(kind, detail)] = found_in(["café", unicodedata.normalize(form, "café"), "zero\u200bwidth", "zerowidth"])[:1]
    assert kind == "class_name_variants"
    assert "'caf\\xe9' (1 image)" in detail
    assert "'cafe\\u0301' (1 image)" in detail


@pytest.mark.parametrize("name", ["-1", "NaN", "None", "NULL", "n/a", " unknown "])
def test_placeholders(name):
    assert found_in([name, "cup", "pot", name]) == [
        ("placeholder_class", f"the name stands for a missing label: {name!r} (2 images)")
    ]


def test_labels_without_names():
    split = Dataset.from_dict(
        {"image": [None] * 3, "label": [-1, 0, 1], "image_id": ["a", "b", "c"]},
        features=Features(image=Image(), label=Value("int64"), image_id=Value("string")),
    )
    [finding] = find_doubtful_names(ImageTable({"train": split}))
    assert (finding.kind, [image.image_id for image in finding.images]) == ("placeholder_class", ["a"])


def test_a_missing_class_label_is_not_the_last_class():
    split = Dataset.from_dict(
        {"image": [None] * 4, "label": [-1, 0, 1, None], "image_id": ["a", "b", "c", "d"]},
        features=Features(image=Image(), label=ClassLabel(names=["cup", "pot"]), image_id=Value("string")),
    )
    findings = find_doubtful_names(ImageTable({"train": split}))
    assert [(one.kind, one.images[0].image_id) for one in findings] == [
        ("placeholder_class", "a"),
        ("placeholder_class", "d"),
    ]


def test_typing_errors_of_three_names_are_one_finding():
    names = ["thumbs-up", "thumb-up", "thumbsup", "Toyota Corolla", "cup"]
    assert found_in(names) == [
        (
            "similar_class_names",
            "3 names differ by one letter or separator: 'thumbs-up' (1 image), 'thumb-up' (1 image), 'thumbsup' "
            "(1 image)",
        )
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["front", "back", "side", "top"], "views or parts of a collection"),
        (["1_front", "2_side", "7_additional"], "views or parts of a collection"),
        (["train", "eval"], "views or parts of a collection"),
        (["part0", "part1", "part10"], "shards"),
        (["batch_01", "batch_02"], "shards"),
        (["000", "001", "002"], "shards"),
        (list("0123456789abcdef"), "shards"),
        (["front", "back", "cup"], None),
        (["front"], None),
        (["part0", "partner"], None),
        (["001", "002", "003"], None),  # classes are often numbered from 1
        (["0", "1", "2"], None),
        ([f"{number:02d}" for number in range(100)], None),  # as wide as needed
        (["000", "002"], None),
        (["1", "2", "10"], None),
        ([], None),
    ],
)
def test_levels_that_are_no_classes(names, expected):
    assert looks_like(names) == expected
    if expected:
        [(_, detail)] = [one for one in found_in(names * 2) if one[0] == "class_level"]
        assert detail.startswith(f"the {len(names)} classes look like {expected}: ")
        assert "(2 images)" in detail


def test_one_class_folder_in_several_folders():
    ids = [f"sku{number}/{view}/{row}.jpg" for number in range(6) for view in ("one", "two") for row in range(2)]
    labels = [image_id.split("/")[1] for image_id in ids]
    assert found_in([*labels, "cup"], [*ids, "cup/0.jpg"]) == [
        (
            "repeated_class_folder",
            "2 of 3 class folders are in several of 6 folders ('sku0', 'sku1', 'sku2', 'sku3', 'sku4', 'sku5'): "
            "'one' (12 images), 'two' (12 images)",
        )
    ]


def test_folders_that_are_no_class_or_are_in_one_folder_each():
    ids = ["a/cup/0.jpg", "b/pot/0.jpg", "x/7/0.jpg", "y/7/1.jpg", "0.jpg"]
    assert found_in(["cup", "pot", "seven", "seven", "lid"], ids) == []


def test_ordinary_names():
    birds = ["001.Black_footed_Albatross", "002.Laysan_Albatross", "145.Elegant_Tern", "144.Common_Tern"]
    cars = ["Audi S4 Sedan 2012", "Audi S4 Sedan 2007", "Audi S5 Coupe 2012", "BMW M3 Coupe 2012", "BMW M5 Sedan 2010"]
    assert found_in([*birds, *cars, "0001", "0002", "10", "2", "Nancy", "nano", "backpack", "No. 1"]) == []


def test_folding():
    assert {fold(name) for name in PLACEHOLDERS} == PLACEHOLDERS
    assert fold(fold("  ﬁne\tSTRASSE ")) == fold("  ﬁne\tSTRASSE ") == "fine strasse"
