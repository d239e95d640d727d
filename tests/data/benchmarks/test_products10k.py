"""Products-10K: the official lists in small, with folders and archives of images; the official split and by class."""

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import DatasetDict, Image, Value

from hf_vitret.data import choose_test_classes, load_retrieval_dataset
from hf_vitret.data.benchmarks import products10k

TRAIN = ["name,class,group", "0.jpg,0,0", "1.jpg,0,0", "2.jpg,12,3", "3.jpg,12,3", "4.jpg,7,3"]
TEST = ["name,class,Usage", "9.jpg,12,Public", "10.jpg,0,Private", "11.jpg,12,Private"]
PATHS = [f"train/{number}.jpg" for number in range(5)] + [f"test/{number}.jpg" for number in (9, 10, 11)]
Write = Callable[..., Path]


@pytest.fixture
def write_products(tmp_path: Path, write_images: Callable[[Path, list[str]], Path]) -> Write:
    def write(train: list[str] = TRAIN, test: list[str] = TEST) -> Path:
        folder = write_images(tmp_path / "products", PATHS)
        (folder / "train.csv").write_text("\n".join(train) + "\n")
        (folder / "test_kaggletest.csv").write_text("\n".join(test) + "\n")
        return folder

    return write


def load(data_dir: object, **options: object) -> DatasetDict:
    return load_retrieval_dataset("products10k", data_dir=data_dir, **{"check_counts": False, **options})


def content(dataset: DatasetDict) -> dict[str, list[tuple[str, int]]]:
    return {name: list(zip(split["image_id"][:], split["label"][:])) for name, split in dataset.items()}


def check(dataset: DatasetDict) -> None:
    assert content(dataset) == {
        "train": [(path, label) for path, label in zip(PATHS, [0, 0, 12, 12, 7])],
        "test": [("test/9.jpg", 12), ("test/10.jpg", 0), ("test/11.jpg", 12)],
    }
    for split in dataset.values():
        assert split.features == {"image": Image(), "label": Value("int64"), "image_id": Value("string")}
        assert split[1]["image"].size == (8, 8)


@pytest.mark.parametrize("group", [True, False])
def test_folder(write_products: Write, group: bool) -> None:
    rows = [line.split(",") for line in TEST]
    test = [f"{name},{label},{'5' if number else 'group'},{usage}" for number, (name, label, usage) in enumerate(rows)]
    check(load(write_products(test=test if group else TEST)))


def test_same_content_as_the_standard_library_reads(write_products: Write) -> None:
    folder = write_products()
    dataset = content(load(folder))
    for split, name in (("train", "train.csv"), ("test", "test_kaggletest.csv")):
        with (folder / name).open(newline="") as stream:
            assert dataset[split] == [(f"{split}/{row['name']}", int(row["class"])) for row in csv.DictReader(stream)]


def test_archives_are_extracted_beside_themselves(write_products: Write, tmp_path: Path) -> None:
    folder = write_products()
    for split in ("train", "test"):
        with zipfile.ZipFile(folder / f"{split}.zip", "w") as archive:
            for path in sorted((folder / split).iterdir()):
                archive.write(path, path.relative_to(folder))
        (folder / split).rename(tmp_path / f"{split} away")
    check(load(folder))
    (folder / "test.zip").unlink()
    check(load(folder))
    (folder / "test").rename(folder / "away")
    with pytest.raises(FileNotFoundError, match=r"has the lists and no images: expected test/ or test\.zip"):
        load(folder)


@pytest.mark.parametrize("seed", range(4))
def test_by_class_no_product_is_in_both_splits(write_products: Write, seed: int) -> None:
    found = content(load(write_products(), test_fraction=0.4, seed=seed))
    (tested,) = choose_test_classes(["0", "12", "7"], 0.4, seed)
    assert {label for _, label in found["test"]} == {int(tested)}
    assert {label for _, label in found["train"]} == {0, 7, 12} - {int(tested)}
    assert sorted(path for split in found.values() for path, _ in split) == sorted(PATHS)


def test_all_images_are_trained_on(write_products: Write) -> None:
    found = content(load(write_products(), test_fraction=0))
    assert list(found) == ["train"]
    assert [path for path, _ in found["train"]] == PATHS


@pytest.mark.parametrize("test_fraction", [-0.1, 1, 0.9])
def test_shares_that_leave_nothing_are_refused(write_products: Write, test_fraction: float) -> None:
    with pytest.raises(ValueError, match=r"test_fraction"):
        load(write_products(), test_fraction=test_fraction)


def test_official_classes_are_checked(write_products: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_products()
    assert products10k.NUM_CLASSES == 9691
    with pytest.raises(ValueError, match=r"train\.csv: expected 9,691 classes, found 3; .* check_counts=False"):
        load(folder, check_counts=True)
    monkeypatch.setattr(products10k, "NUM_CLASSES", 3)
    check(load(folder, check_counts=True))
    with pytest.raises(ValueError, match=r"test_kaggletest\.csv: expected classes of train\.csv, found others: 8, 9;"):
        load(write_products(test=[*TEST, "5.jpg,9,Public", "6.jpg,8,Public"]), check_counts=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("../1.jpg,1,1", r"row 1: expected the name of an image below train/ .* got '\.\./1\.jpg' and '1'"),
        ("/etc/passwd,1,1", "row 1: .* got '/etc/passwd' and '1'"),
        (",1,1", "row 1: .* got None and '1'"),
        ("1.jpg,,1", r"row 1: .* got '1\.jpg' and None"),
        ("1.jpg,-1,1", "row 1: .* and '-1'"),
        ("1.jpg,shoe,1", "row 1: .* and 'shoe'"),
        ("1.jpg,1", r"rows 1 have not as many cells as the header: 3"),
    ],
)
def test_malformed_rows_are_named(write_products: Write, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"train\.csv.*{message}"):
        load(write_products([*TRAIN[:2], line]))


def test_missing_columns_and_images_are_named(write_products: Write) -> None:
    with pytest.raises(ValueError, match=r"train\.csv: expected the columns name and class, got image, class"):
        load(write_products(["image,class", "0.jpg,0"]))
    folder = write_products()
    (folder / "test/10.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 8 images are missing: test/10\.jpg"):
        load(folder)


def test_an_image_twice_in_a_list_is_refused(write_products: Write) -> None:
    with pytest.raises(ValueError, match=r"image_id must be unique .* 'train/0\.jpg'"):
        load(write_products([*TRAIN, "0.jpg,7,3"]))


@pytest.mark.parametrize("data_dir", [None, "nowhere"])
def test_missing_data_says_what_to_do(data_dir: str | None) -> None:
    with pytest.raises(FileNotFoundError, match=r"products-10k\.github\.io.*\n.*test_kaggletest.*\n.*hf-vitret demo"):
        load(data_dir)
