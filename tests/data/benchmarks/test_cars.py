"""Cars-196: the official annotations in small, as MATLAB writes them, with a folder and an archive of images."""

import builtins
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import ClassLabel, DatasetDict
from pytorch_metric_learning.datasets.cars196 import Cars196
from scipy.io import savemat

from hf_vitret.data import load_retrieval_dataset
from hf_vitret.data.benchmarks.cars import OFFICIAL_COUNTS

NAMES = [f"Maker Model {number} Coupe 2012" for number in range(1, 197)]
CLASSES = [1, 1, 98, 98, 99, 99, 196, 196]
IMAGES = [f"car_ims/{number:06d}.jpg" for number in range(1, len(CLASSES) + 1)]
FIELDS = ("relative_im_path", "bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "test")
Write = Callable[..., Path]


def rows_of(images: list[Any] = IMAGES, classes: list[Any] = CLASSES) -> list[tuple[Any, ...]]:
    return [(image, 112, 7, 853, 717, label, n % 2) for n, (image, label) in enumerate(zip(images, classes))]


def save(path: Path, rows: list[tuple[Any, ...]], names: list[str] = NAMES, fields: tuple[str, ...] = FIELDS) -> None:
    """Write annotations as the official file has them: a struct array and a cell array, compressed."""
    table = np.empty((1, len(rows)), [(field, object) for field in fields])
    for column, row in enumerate(rows):
        table[0, column] = tuple(row[FIELDS.index(field)] for field in fields)
    cells = np.empty((1, len(names)), object)
    cells[0, :] = names
    savemat(path, {"annotations": table, "class_names": cells}, do_compression=True)


@pytest.fixture
def write_cars(tmp_path: Path, write_images: Callable[[Path, list[str]], Path]) -> Write:
    def write(rows: list[tuple[Any, ...]] | None = None, **parts: Any) -> Path:
        folder = write_images(tmp_path / "cars", IMAGES)
        save(folder / "cars_annos.mat", rows_of() if rows is None else rows, **parts)
        return folder

    return write


def load(data_dir: object, **options: object) -> DatasetDict:
    return load_retrieval_dataset("cars", data_dir=data_dir, **{"check_counts": False, **options})


def check(dataset: DatasetDict) -> None:
    assert {name: split["label"][:] for name, split in dataset.items()} == {
        "train": [0, 0, 97, 97],
        "test": [98, 98, 195, 195],
    }
    assert dataset["train"]["image_id"][:] + dataset["test"]["image_id"][:] == IMAGES
    for split in dataset.values():
        assert split.features["label"] == ClassLabel(names=NAMES)
        assert split[0]["image"].size == (8, 8)


@pytest.mark.parametrize("inside", [".", "cars_annos.mat", "car_ims"])
def test_folder_and_what_is_in_it(write_cars: Write, inside: str) -> None:
    check(load(write_cars() / inside))


def test_whole_numbers_of_any_type(write_cars: Write) -> None:
    check(load(write_cars(rows_of(classes=[float(CLASSES[0]), np.uint8(1), *CLASSES[2:]]))))


def test_same_images_and_classes_as_another_library(write_cars: Write, tmp_path: Path) -> None:
    """pytorch-metric-learning reads a copy with the folders train/ and test/, a list for each, and a list of names."""
    dataset = load(write_cars())
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "names.csv").write_text("\n".join(NAMES) + "\n")
    for name, is_test in (("train", 0), ("test", 1)):
        rows = [(image, label) for n, (image, label) in enumerate(zip(IMAGES, CLASSES)) if n % 2 == is_test]
        (copy / f"anno_{name}.csv").write_text("\n".join(f"{image[8:]},0,0,9,9,{label}" for image, label in rows))
    for split in ("train", "test"):
        theirs = Cars196.__new__(Cars196)
        theirs.root, theirs.split = str(copy), split
        theirs.generate_split()
        found = zip(dataset[split]["image_id"][:], dataset[split]["label"][:])
        expected = zip(theirs.paths, theirs.labels)
        assert {(image[8:], NAMES[label], label + 1) for image, label in found} == {
            (Path(path).name, Path(path).parent.name, label) for path, label in expected
        }


def test_archive_is_extracted_beside_itself(write_cars: Write, tmp_path: Path) -> None:
    folder = write_cars()
    with tarfile.open(folder / "car_ims.tgz", "w:gz") as archive:
        archive.add(folder / "car_ims", "car_ims")
    (folder / "car_ims").rename(tmp_path / "away")
    check(load(folder / "car_ims.tgz"))
    (folder / "car_ims.tgz").unlink()
    check(load(folder))


def test_official_counts_are_checked(write_cars: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_cars()
    assert OFFICIAL_COUNTS == {"train": (8054, 98), "test": (8131, 98)}
    assert sum(images for images, _ in OFFICIAL_COUNTS.values()) == 16_185
    with pytest.raises(ValueError, match=r"expected 8,054 images of 98 classes in train, found 4 of 2\."):
        load(folder, check_counts=True)
    for split in ("train", "test"):
        monkeypatch.setitem(OFFICIAL_COUNTS, split, (4, 2))
    check(load(folder, check_counts=True))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (("car_ims/../../secret.jpg", 1), r"annotation 2: .* got 'car_ims/\.\./\.\./secret\.jpg' and 1"),
        (("/etc/passwd", 1), "annotation 2: expected a path below car_ims/ .* got '/etc/passwd' and 1"),
        (("other/1.jpg", 1), "annotation 2: .* got 'other/1.jpg' and 1"),
        ((7, 1), "annotation 2: .* got None and 1"),
        (("car_ims/000002.jpg", 0), "annotation 2: .* a class from 1 to 196, got 'car_ims/000002.jpg' and 0"),
        (("car_ims/000002.jpg", 197), "annotation 2: .* and 197"),
        (("car_ims/000002.jpg", 1.5), "annotation 2: .* and None"),
        (("car_ims/000002.jpg", float("nan")), "annotation 2: .* and None"),
        (("car_ims/000002.jpg", "1"), "annotation 2: .* and None"),
        (("car_ims/000002.jpg", [1, 2]), "annotation 2: .* and None"),
    ],
)
def test_malformed_annotations_are_named(write_cars: Write, row: tuple[Any, Any], message: str) -> None:
    image, label = row
    with pytest.raises(ValueError, match=rf"cars_annos\.mat, {message}"):
        load(write_cars(rows_of([IMAGES[0], image], [1, label])))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"names": NAMES[:4]}, "expected 196 different texts in class_names, got 4"),
        ({"names": [NAMES[0]] * 196}, "expected 196 different texts in class_names, got 1"),
        (
            {"fields": FIELDS[:-2]},
            "expected the fields relative_im_path and class in annotations, got relative_im",
        ),
    ],
)
def test_other_content_is_named(write_cars: Write, parts: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(write_cars(**parts))


def test_annotations_of_the_classification_split_are_refused(write_cars: Write) -> None:
    """`cars_train_annos.mat` of other copies has no class names."""
    folder = write_cars()
    savemat(folder / "cars_annos.mat", {"annotations": np.zeros((1, 2))})
    with pytest.raises(ValueError, match=r"expected the variables annotations, class_names; missing: class_names"):
        load(folder)
    cells = np.empty((1, 196), object)
    cells[0, :] = NAMES
    savemat(folder / "cars_annos.mat", {"annotations": np.zeros((1, 2)), "class_names": cells})
    with pytest.raises(ValueError, match=r"in annotations, got no struct array"):
        load(folder)


def test_missing_images_are_named(write_cars: Write) -> None:
    folder = write_cars()
    (folder / IMAGES[3]).unlink()
    with pytest.raises(FileNotFoundError, match=rf"1 of 8 images are missing: {IMAGES[3]}"):
        load(folder)
    (folder / "car_ims").rename(folder / "away")
    with pytest.raises(FileNotFoundError, match=r"has cars_annos\.mat and no images: expected car_ims/ or car_ims"):
        load(folder)


def test_a_missing_package_is_named_with_its_command(write_cars: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, there = write_cars(), builtins.__import__

    def without_scipy(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("scipy"):
            raise ModuleNotFoundError(name)
        return there(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_scipy)
    with pytest.raises(ImportError, match=r'cars_annos\.mat is read by scipy, .*: pip install "hf_vitret\[cars\]"'):
        load(folder)


@pytest.mark.parametrize("data_dir", [None, "nowhere"])
def test_missing_data_says_what_to_do(data_dir: str | None) -> None:
    with pytest.raises(FileNotFoundError, match=r"Get car_ims\.tgz .*\n.*cars_annos\.mat.*\n.*hf-vitret demo"):
        load(data_dir)
