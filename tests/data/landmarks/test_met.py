"""The Met: the official files in small, splits, distractors, counts, and files that are malformed."""

import json
import shutil
from pathlib import Path

import pytest
from datasets import Image, Value

from hf_vitret.data.landmarks import met
from hf_vitret.data.landmarks.met import load_met, load_met_queries
from hf_vitret.data.loading import load_retrieval_dataset
from hf_vitret.data.splits import choose_test_classes

EXHIBITS = [
    {"id": 34, "path": "MET/34/0.jpg"},
    {"id": 34, "path": "MET/34/1.jpg"},
    {"id": 7, "path": "MET/7/0.jpg"},
    {"id": 900001, "path": "MET/900001/0.jpg"},
]
TEST = [
    {"path": "test_met/a1.jpg", "MET_id": 34, "photographer": "someone", "url": "https://x"},
    {"path": "test_other/b2.jpg", "category": "Paintings", "url": "https://y"},
    {"path": "test_noart/c3.jpg", "category": "Bridges", "url": "https://z"},
]
VAL = [{"path": "test_noart/d4.jpg", "category": "Cars"}, {"path": "test_met/e5.jpg", "MET_id": "7"}]


@pytest.fixture
def folder(tmp_path: Path, write_images) -> Path:
    root = tmp_path / "met"
    write_images(root / "images", [entry["path"] for entry in EXHIBITS + TEST + VAL])
    (root / "ground_truth").mkdir()
    for name, entries in {"MET_database": EXHIBITS, "testset": TEST, "valset": VAL}.items():
        write(root, name, entries)
    write(root, "mini_MET_database", EXHIBITS[1:3])
    return root


def write(root: Path, name: str, content: object) -> None:
    (root / "ground_truth" / f"{name}.json").write_text(json.dumps(content))


def test_exhibits(folder: Path) -> None:
    dataset = load_met(folder, test_fraction=0, check_counts=False)
    assert list(dataset) == ["train"]
    assert dataset["train"].features == {"image": Image(), "label": Value("int64"), "image_id": Value("string")}
    assert dataset["train"]["label"][:] == [34, 34, 7, 900001]
    assert dataset["train"]["image_id"][:] == [entry["path"] for entry in EXHIBITS]
    assert dataset["train"][3]["image"].size == (8, 8)
    mini = load_met(folder, mini=True, test_fraction=0, check_counts=False)
    assert mini["train"]["image_id"][:] == ["MET/34/1.jpg", "MET/7/0.jpg"]


def test_exhibits_are_set_aside_by_the_rule_of_the_package(folder: Path) -> None:
    dataset = load_retrieval_dataset("met", folder, check_counts=False, test_fraction=0.34, split_seed=3)
    tested = [int(name) for name in choose_test_classes(["34", "7", "900001"], 0.34, 3)]
    assert set(dataset["test"]["label"][:]) == set(tested)
    assert set(dataset["train"]["label"][:]) == {34, 7, 900001} - set(tested)


def test_queries_and_distractors(folder: Path) -> None:
    dataset = load_met_queries(folder, check_counts=False)
    assert {name: split["label"][:] for name, split in dataset.items()} == {"val": [None, 7], "test": [34, None, None]}
    assert dataset["test"]["image_id"][:] == [entry["path"] for entry in TEST]
    for split in dataset.values():
        assert split.features == {"image": Image(), "label": Value("int64"), "image_id": Value("string")}
        assert split.column_names == ["image", "label", "image_id"]
    stored = dataset["test"].cast_column("image", Image(decode=False))["image"][:]
    assert stored[0]["path"] == str(folder / "images/test_met/a1.jpg")


def test_lists_and_images_in_one_folder(folder: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    shutil.copytree(folder / "images", flat)
    for path in (folder / "ground_truth").iterdir():
        shutil.copy(path, flat)
    assert len(load_met(flat, test_fraction=0, check_counts=False)["train"]) == 4
    assert len(load_met_queries(flat, check_counts=False)["test"]) == 3


def test_official_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert met.OFFICIAL_COUNTS == {"MET_database.json": (397_121, 224_408), "mini_MET_database.json": (38_307, 33_501)}
    assert met.OFFICIAL_QUERIES == {"val": (129, 1_168 + 868), "test": (1_003, 10_352 + 7_964)}
    with pytest.raises(ValueError, match=r"expected 397,121 images of 224,408 classes in train, found 4 of 3"):
        load_met(folder)
    with pytest.raises(ValueError, match=r"expected 38,307 images of 33,501 classes in train, found 2 of 2"):
        load_met(folder, mini=True)
    with pytest.raises(ValueError, match=r"valset.json: expected 129 queries .* 2,036 distractors, found 1 and 1"):
        load_met_queries(folder)
    monkeypatch.setattr(met, "OFFICIAL_QUERIES", {"val": (1, 1), "test": (1, 2)})
    assert len(load_met_queries(folder)["val"]) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "expected a list of images, each an object with a path; got dict"),
        ([], "expected a list of images, each an object with a path; got an empty list"),
        ([["MET/34/0.jpg", 34]], r"entry 0: expected an object with the path of an image .*got \['MET/34/0.jpg', 34\]"),
        ([EXHIBITS[0], {"id": 3}], r"entry 1: expected an object with the path of an image below images/, got \{'id'"),
        ([{"id": 3, "path": 5}], "entry 0: expected an object with the path"),
        ([{"id": 3, "path": "../secret.jpg"}], "entry 0: expected an object with the path .*secret"),
        ([{"id": 3, "path": "/etc/passwd"}], "entry 0: expected an object with the path .*passwd"),
        ([{"id": 3, "path": "a\\b.jpg"}], "entry 0: expected an object with the path"),
        ([EXHIBITS[0], EXHIBITS[2], EXHIBITS[0]], "expected each image once; these are there again: MET/34/0.jpg"),
        ([EXHIBITS[0], {"path": "MET/7/0.jpg"}], "entry 1: expected id to be the whole number of an exhibit, got None"),
        ([{"id": -1, "path": "a.jpg"}], "entry 0: expected id to be the whole number of an exhibit, got -1"),
        ([{"id": 1.5, "path": "a.jpg"}], "expected id to be the whole number of an exhibit, got 1.5"),
        ([{"id": True, "path": "a.jpg"}], "expected id to be the whole number of an exhibit, got True"),
        ([{"id": "1e3", "path": "a.jpg"}], "expected id to be the whole number of an exhibit, got '1e3'"),
        ([{"id": 10**18, "path": "a.jpg"}], "expected id to be the whole number of an exhibit, got 1000"),
    ],
)
def test_malformed_files_are_named(folder: Path, content: object, message: str) -> None:
    write(folder, "MET_database", content)
    with pytest.raises(ValueError, match=message) as error:
        load_met(folder, test_fraction=0, check_counts=False)
    assert str(folder / "ground_truth/MET_database.json") in str(error.value)


@pytest.mark.parametrize("text", ["", '[{"id": 34, "path"', "[" * 100_000])
def test_files_that_are_cut_off_or_nested_without_end(folder: Path, text: str) -> None:
    (folder / "ground_truth/MET_database.json").write_text(text)
    with pytest.raises(ValueError, match=r"MET_database.json is no JSON, or is cut off"):
        load_met(folder)


def test_queries_that_contradict(folder: Path) -> None:
    write(folder, "valset", [TEST[0]])
    with pytest.raises(ValueError, match=r"each query in val or in test; these are in both: test_met/a1.jpg"):
        load_met_queries(folder, check_counts=False)
    write(folder, "valset", [{"path": "test_met/e5.jpg", "MET_id": None}])
    with pytest.raises(ValueError, match=r"valset.json, entry 0: expected MET_id to be the whole number .* got None"):
        load_met_queries(folder, check_counts=False)


def test_what_is_missing_is_said(folder: Path) -> None:
    for data_dir in (None, folder / "nowhere"):
        with pytest.raises(
            FileNotFoundError, match=r"MET_database.json is not at data_dir=.*http://cmp.felk.cvut.cz/met"
        ):
            load_met(data_dir)
    (folder / "images/MET/7/0.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 4 images are missing: MET/7/0.jpg"):
        load_met(folder, test_fraction=0, check_counts=False)
    assert len(load_met(folder, test_fraction=0, check_counts=False, check_files=False)["train"]) == 4
    (folder / "images").rename(folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"its images are not: expected .*images/test_met. Extract test_met"):
        load_met_queries(folder, check_counts=False)
