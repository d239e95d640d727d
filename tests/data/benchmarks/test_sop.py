"""Stanford Online Products: the official format in small, as a folder, its parent and its archive."""

import re
import zipfile
from pathlib import Path

import pytest
from datasets import Image, Value
from pytorch_metric_learning.datasets.sop import StanfordOnlineProducts

from hf_vitret.data import load_retrieval_dataset
from hf_vitret.data.benchmarks.sop import OFFICIAL_COUNTS

TRAIN = ["1 1 1 bicycle_final/111_0.JPG", "2 1 1 bicycle_final/111_1.JPG", "3 2 2 sofa_final/222_0.JPG"]
TEST = ["4 3 1 bicycle_final/333_0.JPG", "5 3 1 bicycle_final/333_1.JPG"]
HEADER = "image_id class_id super_class_id path"


@pytest.fixture
def write_sop(tmp_path, write_images):
    def write(train=TRAIN, test=TEST, header=HEADER):
        folder = tmp_path / "Stanford_Online_Products"
        write_images(folder, [line.split()[3] for line in TRAIN + TEST])
        for name, lines in (("Ebay_train.txt", train), ("Ebay_test.txt", test)):
            (folder / name).write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        return folder

    return write


def load(data_dir, **options):
    return load_retrieval_dataset("sop", data_dir=data_dir, **{"check_counts": False, **options})


def check(dataset):
    assert {name: split["label"][:] for name, split in dataset.items()} == {
        "train": [1, 1, 2],
        "test": [3, 3],
    }
    for name, lines in (("train", TRAIN), ("test", TEST)):
        assert dataset[name]["image_id"][:] == [line.split()[3] for line in lines]
        assert dataset[name].features == {
            "image": Image(),
            "label": Value("int64"),
            "image_id": Value("string"),
        }


def test_folder_and_parent(write_sop, draw):
    folder = write_sop()
    check(load(folder))
    dataset = load(str(folder.parent))
    check(dataset)
    stored = dataset["test"].cast_column("image", Image(decode=False))[1]["image"]["path"]
    assert Path(stored).read_bytes() == draw("bicycle_final/333_1.JPG", "JPEG")


def test_same_images_and_classes_as_another_library(write_sop):
    folder = write_sop()
    dataset = load(folder)
    for split in ("train", "test"):
        theirs = StanfordOnlineProducts(root=str(folder.parent), split=split, download=False)
        assert dataset[split]["label"][:] == theirs.labels
        assert [str(folder / path) for path in dataset[split]["image_id"]] == theirs.paths


@pytest.mark.parametrize("as_parent", [False, True])
def test_archive_is_extracted_beside_itself_once(write_sop, tmp_path, as_parent):
    folder = write_sop()
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    archive = shelf / "Stanford_Online_Products.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in folder.rglob("*.*"):
            opened.write(path, path.relative_to(tmp_path))
        opened.writestr("__MACOSX/Stanford_Online_Products/._Ebay_train.txt", b"\0")
    check(load(shelf if as_parent else archive))
    assert sorted(path.name for path in shelf.iterdir()) == ["Stanford_Online_Products", archive.name]
    check(load(archive))


def test_official_counts_are_checked(write_sop, monkeypatch):
    folder = write_sop()
    with pytest.raises(
        ValueError, match=r"expected 59,551 images of 11,318 classes in train, found 3 of 2.*check_counts=False"
    ):
        load(folder, check_counts=True)
    monkeypatch.setitem(OFFICIAL_COUNTS, "train", (3, 2))
    with pytest.raises(ValueError, match=r"expected 60,502 images of 11,316 classes in test, found 2 of 1"):
        load(folder, check_counts=True)
    monkeypatch.setitem(OFFICIAL_COUNTS, "test", (2, 1))
    check(load(folder, check_counts=True))


@pytest.mark.parametrize("data_dir", [None, "nowhere"])
def test_missing_data_says_in_three_lines_what_to_do(data_dir):
    with pytest.raises(FileNotFoundError) as caught:
        load(data_dir)
    where, layout, instead = str(caught.value).split("\n")
    assert "1TclrpQOF_ullUP99wk_gjGN8pKvtErG8" in where
    assert repr(data_dir) in where
    assert "Ebay_train.txt, Ebay_test.txt" in layout
    assert "hf-vitret demo" in instead


@pytest.mark.parametrize(
    "line",
    [
        "4 3 1",
        "4 3 1 a b.JPG",
        "4 three 1 sofa_final/222_0.JPG",
        "4 -3 1 sofa_final/222_0.JPG",
        "4 3.0 1 sofa_final/222_0.JPG",
        "4 3 1 ../secret.JPG",
        "4 3 1 /secret.JPG",
    ],
)
def test_a_malformed_line_is_named(write_sop, line):
    with pytest.raises(ValueError, match=rf"Ebay_test.txt, line 4: expected .*, got {re.escape(repr(line))}"):
        load(write_sop(test=[*TEST, line]))


@pytest.mark.parametrize("header", ["", "path,label", TRAIN[0]])
def test_a_wrong_header_is_named(write_sop, header):
    with pytest.raises(ValueError, match=r"Ebay_train.txt, line 1: expected the header 'image_id class_id"):
        load(write_sop(header=header))


def test_an_empty_list(write_sop):
    folder = write_sop()
    (folder / "Ebay_test.txt").write_bytes(b"")
    with pytest.raises(ValueError, match=r"Ebay_test.txt, line 1: expected the header .*, got 'an empty file'"):
        load(folder)


def test_a_missing_list(write_sop):
    folder = write_sop()
    (folder / "Ebay_test.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"Ebay_test.txt is missing: is the folder whole"):
        load(folder)


def test_missing_images_are_named_and_counted(write_sop):
    folder = write_sop()
    (folder / "bicycle_final/333_1.JPG").unlink()
    (folder / "sofa_final/222_0.JPG").unlink()
    (folder / "sofa_final").rmdir()
    with pytest.raises(FileNotFoundError, match=r"2 of 5 images are missing: sofa_final/222_0.JPG, bicycle_final/333"):
        load(folder)


def test_a_class_in_both_splits_is_refused(write_sop):
    with pytest.raises(ValueError, match=r"shares no class between train and test, but these are in both: 2"):
        load(write_sop(test=[*TEST, "6 2 2 sofa_final/222_0.JPG"]))
