"""CUB-200-2011: the official format in small, as a folder, as its parent and as its archive."""

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import ClassLabel, DatasetDict
from pytorch_metric_learning.datasets.cub import CUB

from hf_vitret.data import load_retrieval_dataset
from hf_vitret.data.benchmarks.cub import OFFICIAL_COUNTS

NAMES = [f"{number:03d}.Bird_{number}" for number in range(1, 201)]
IMAGES = [f"{NAMES[class_id - 1]}/Bird_{copy}_{class_id}.jpg" for class_id in (1, 100, 101, 200) for copy in (1, 2)]
Write = Callable[..., Path]


@pytest.fixture
def write_cub(tmp_path: Path, write_images: Callable[[Path, list[str]], Path]) -> Write:
    def write(**changes: str) -> Path:
        """Write the folder. `changes` replaces whole lists."""
        folder = tmp_path / "CUB_200_2011"
        write_images(folder / "images", IMAGES)
        numbered = list(enumerate(IMAGES, start=1))
        lists = {
            "classes.txt": [f"{number} {name}" for number, name in enumerate(NAMES, start=1)],
            "images.txt": [f"{number} {path}" for number, path in numbered],
            "image_class_labels.txt": [f"{number} {int(path[:3])}" for number, path in numbered],
            "train_test_split.txt": [f"{number} {number % 2}" for number, _ in numbered],
            "bounding_boxes.txt": [f"{number} 60.0 27.0 325.0 304.0" for number, _ in numbered],
        }
        for name, lines in lists.items():
            (folder / name).write_text(changes.get(name, "\n".join(lines) + "\n"))
        (folder / "images" / IMAGES[0]).with_name("._Bird_1_1.jpg").write_bytes(b"note of macOS")
        return folder

    return write


def load(data_dir: object, **options: object) -> DatasetDict:
    return load_retrieval_dataset("cub", data_dir=data_dir, **{"check_counts": False, **options})


def check(dataset: DatasetDict) -> None:
    assert {name: split["label"][:] for name, split in dataset.items()} == {
        "train": [0, 0, 99, 99],
        "test": [100, 100, 199, 199],
    }
    assert dataset["train"]["image_id"][:] + dataset["test"]["image_id"][:] == IMAGES
    for split in dataset.values():
        assert split.features["label"] == ClassLabel(names=NAMES)
        assert split[0]["image"].size == (8, 8)


def test_folder_and_parent(write_cub: Write) -> None:
    folder = write_cub()
    check(load(folder))
    check(load(str(folder.parent)))


def test_same_images_and_classes_as_another_library(write_cub: Write) -> None:
    folder = write_cub()
    dataset = load(folder)
    for split in ("train", "test"):
        theirs = CUB(root=str(folder.parent), split=split, download=False)
        assert [label + 1 for label in dataset[split]["label"]] == theirs.labels
        assert [str(folder / "images" / path) for path in dataset[split]["image_id"]] == theirs.paths


@pytest.mark.parametrize("as_parent", [False, True])
def test_archive_is_extracted_beside_itself(write_cub: Write, tmp_path: Path, as_parent: bool) -> None:
    folder = write_cub()
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    with tarfile.open(shelf / "CUB_200_2011.tgz", "w:gz") as archive:
        (tmp_path / "attributes.txt").write_text("1 has_bill_shape::curved")
        archive.add(tmp_path / "attributes.txt", "attributes.txt")  # as in the official one
        archive.add(folder, "CUB_200_2011")
    check(load(shelf if as_parent else shelf / "CUB_200_2011.tgz"))
    assert not list(shelf.rglob("._*"))
    (shelf / "CUB_200_2011.tgz").unlink()
    check(load(shelf))


def test_official_counts_are_checked(write_cub: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_cub()
    assert OFFICIAL_COUNTS == {"train": (5864, 100), "test": (5924, 100)}
    with pytest.raises(ValueError, match=r"expected 5,864 images of 100 classes in train, found 4 of 2\."):
        load(folder, check_counts=True)
    for split in ("train", "test"):
        monkeypatch.setitem(OFFICIAL_COUNTS, split, (4, 2))
    check(load(folder, check_counts=True))


def test_notes_of_macos_in_the_list_are_passed_over(write_cub: Write) -> None:
    lines = [f"{number} {path}" for number, path in enumerate(IMAGES, start=1)]
    lines += ["9 001.Bird_1/._Bird_1_1.jpg"]
    labels = [f"{number} {int(path[:3])}" for number, path in enumerate(IMAGES, start=1)] + ["9 1"]
    check(load(write_cub(**{"images.txt": "\n".join(lines), "image_class_labels.txt": "\n".join(labels)})))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("classes.txt", "1 a\n2 b\n", r"classes\.txt: expected the classes 1 to 200, got 2"),
        (
            "images.txt",
            "1 a.jpg b\n",
            r"images\.txt, line 1: expected a number that no other line has, and a word; got '1 a\.jpg b'",
        ),
        ("images.txt", "1 a.jpg\n1 b.jpg\n", r"images\.txt, line 2: expected a number that no other line has"),
        ("images.txt", "1 ../../etc/passwd\n", r"image 1 needs a path .* got '\.\./\.\./etc/passwd' and '1'"),
        ("images.txt", "99 a.jpg\n", r"image 99 needs a path in images\.txt and a class .* and 'nothing'"),
        ("image_class_labels.txt", "1 201\n", r"image 1 needs .* and '201'"),
    ],
)
def test_malformed_lists_are_named(write_cub: Write, name: str, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(write_cub(**{name: content}))


def test_missing_images_and_lists_are_named(write_cub: Write) -> None:
    folder = write_cub()
    (folder / "images" / IMAGES[3]).unlink()
    with pytest.raises(FileNotFoundError, match=rf"1 of 8 images are missing: {IMAGES[3]}"):
        load(folder)
    (folder / "classes.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"classes\.txt is missing"):
        load(folder)


@pytest.mark.parametrize("data_dir", [None, "nowhere"])
def test_missing_data_says_what_to_do(data_dir: str | None) -> None:
    with pytest.raises(FileNotFoundError, match=r"Get CUB_200_2011\.tgz .*\n.*\n.*hf-vitret demo"):
        load(data_dir)
