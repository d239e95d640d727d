"""iNaturalist 2018: the lists of the retrieval split in small, with a folder and an archive of images."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import DatasetDict, Image, Value
from pytorch_metric_learning.datasets.inaturalist2018 import INaturalist2018

from hf_vitret.data import load_retrieval_dataset
from hf_vitret.data.benchmarks.inat2018 import OFFICIAL_COUNTS

TRAIN = ["train_val2018/Aves/2761/aa.jpg", "train_val2018/Aves/2761/ab.jpg", "train_val2018/Plantae/12/ba.jpg"]
TEST = ["train_val2018/Fungi/5000/ca.jpg", "train_val2018/Fungi/5000/cb.jpg"]
Write = Callable[..., Path]


@pytest.fixture
def write_inat(tmp_path: Path, write_images: Callable[[Path, list[str]], Path]) -> Write:
    def write(train: list[str] = TRAIN, list_folder: str = "Inat_dataset_splits") -> Path:
        folder = tmp_path / "inat"
        write_images(folder, TRAIN + TEST)
        (folder / list_folder).mkdir(exist_ok=True)
        for name, lines in (("train", train), ("test", TEST)):
            (folder / list_folder / f"Inaturalist_{name}_set1.txt").write_text("\n".join(lines) + "\n")
        return folder

    return write


def load(data_dir: object, **options: object) -> DatasetDict:
    return load_retrieval_dataset("inat2018", data_dir=data_dir, **{"check_counts": False, **options})


def check(dataset: DatasetDict) -> None:
    assert {name: split["label"][:] for name, split in dataset.items()} == {
        "train": [2761, 2761, 12],
        "test": [5000, 5000],
    }
    for name, paths in (("train", TRAIN), ("test", TEST)):
        assert dataset[name]["image_id"][:] == paths
        assert dataset[name].features == {"image": Image(), "label": Value("int64"), "image_id": Value("string")}
        assert dataset[name][1]["image"].size == (8, 8)


@pytest.mark.parametrize("list_folder", [".", "Inat_dataset_splits"])
def test_folder(write_inat: Write, list_folder: str) -> None:
    folder = write_inat(list_folder=list_folder)
    check(load(folder))
    check(load(folder / list_folder))


def test_lists_that_name_folders_above(write_inat: Write) -> None:
    check(load(write_inat([f"Inaturalist/{path}" for path in TRAIN])))


def test_archive_is_extracted_beside_itself(write_inat: Write) -> None:
    folder = write_inat()
    with tarfile.open(folder / "train_val2018.tar.gz", "w:gz") as archive:
        archive.add(folder / "train_val2018", "train_val2018")
    (folder / "train_val2018").rename(folder / "away")
    check(load(folder))
    (folder / "train_val2018.tar.gz").unlink()
    check(load(folder))


def test_official_counts_are_checked(write_inat: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_inat()
    assert OFFICIAL_COUNTS == {"train": (325846, 5690), "test": (136093, 2452)}
    with pytest.raises(ValueError, match=r"expected 325,846 images of 5,690 classes in train, found 3 of 2\."):
        load(folder, check_counts=True)
    for split, counts in (("train", (3, 2)), ("test", (2, 1))):
        monkeypatch.setitem(OFFICIAL_COUNTS, split, counts)
    check(load(folder, check_counts=True))


@pytest.mark.parametrize(
    "line",
    ["Aves/2761/aa.jpg", "train_val2018/2761.jpg", "train_val2018/Aves/Corvus/aa.jpg", "../train_val2018/Aves/1/a.jpg"],
)
def test_malformed_lines_are_named(write_inat: Write, line: str) -> None:
    with pytest.raises(ValueError, match=r"train_set1\.txt, line 2: expected train_val2018/<group>/<class number>"):
        load(write_inat([TRAIN[0], line]))


def test_a_class_in_both_splits_is_refused(write_inat: Write) -> None:
    with pytest.raises(ValueError, match=r"no class between train and test, but these are in both: 5000;"):
        load(write_inat([*TRAIN, "train_val2018/Fungi/5000/cc.jpg"]))


def test_missing_images_are_named(write_inat: Write) -> None:
    folder = write_inat()
    (folder / TEST[0]).unlink()
    with pytest.raises(FileNotFoundError, match=rf"1 of 5 images are missing: {TEST[0]}"):
        load(folder)


def test_lists_without_images(write_inat: Write) -> None:
    folder = write_inat()
    (folder / "train_val2018").rename(folder / "away")
    with pytest.raises(
        FileNotFoundError, match=r"has the lists and no images: expected train_val2018/ or train_val2018"
    ):
        load(folder)


def test_same_images_and_classes_as_another_library(write_inat: Write) -> None:
    """pytorch-metric-learning takes the classes from the annotations, not from the names of the folders."""
    folder = write_inat()
    annotated = [(image_id, path) for image_id, path in enumerate(TRAIN + TEST)]
    images = [{"id": image_id, "file_name": path} for image_id, path in annotated]
    annotations = [{"image_id": image_id, "category_id": int(path.split("/")[-2])} for image_id, path in annotated]
    (folder / "train2018.json").write_text(json.dumps({"images": images[1:], "annotations": annotations[1:]}))
    (folder / "val2018.json").write_text(json.dumps({"images": images[:1], "annotations": annotations[:1]}))
    dataset = load(folder)
    for split in ("train", "test"):
        theirs = INaturalist2018(root=str(folder), split=split, download=False)
        assert dataset[split]["label"][:] == theirs.labels
        assert [str(folder / path) for path in dataset[split]["image_id"]] == theirs.paths


@pytest.mark.parametrize("data_dir", [None, "nowhere"])
def test_missing_data_says_what_to_do(data_dir: str | None) -> None:
    with pytest.raises(FileNotFoundError, match=r"Smooth_AP.*\n.*Inaturalist_train_set1\.txt.*\n.*hf-vitret demo"):
        load(data_dir)
