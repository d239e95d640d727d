"""iNaturalist 2021: the official lists in small, as files and archives; the official split and by species."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, DatasetDict

from hf_vitret.data import choose_test_classes, load_retrieval_dataset
from hf_vitret.data.benchmarks.inat2021 import OFFICIAL_COUNTS

SPECIES = ["Lumbricus terrestris", "Corvus corax", "Amanita muscaria"]
FOLDERS = [f"{number:05d}_{name.replace(' ', '_')}" for number, name in enumerate(SPECIES)]
LABELS = {"train": [0, 1, 2, 1, 0, 2], "train_mini": [2, 0, 1], "val": [1, 0, 2]}
PATHS = {
    name: [f"{name}/{FOLDERS[label]}/{name}-{number}.jpg" for number, label in enumerate(labels)]
    for name, labels in LABELS.items()
}
NAMES = ["00000 Lumbricus terrestris", "00001 Corvus corax", "00002 Amanita muscaria"]
Change = Callable[[dict[str, Any]], object]
Write = Callable[..., Path]


def official(name: str) -> dict[str, Any]:
    """Return a list in the official format; the ids of the images are not in the order of the annotations."""
    ids = [900 + 7 * number for number in range(len(LABELS[name]))]
    return {
        "info": {"year": 2021},
        "images": [
            {"id": one, "file_name": path, "width": 8, "height": 8, "license": 0, "rights_holder": "x", "latitude": 1.0}
            for one, path in zip(ids, PATHS[name])
        ],
        "categories": [
            {"id": number, "name": species, "supercategory": "x", "image_dir_name": FOLDERS[number], "kingdom": "y"}
            for number, species in enumerate(SPECIES)
        ],
        "annotations": [
            {"id": number, "image_id": one, "category_id": label}
            for number, (one, label) in reversed(list(enumerate(zip(ids, LABELS[name]))))
        ],
        "licenses": [{"id": 0, "name": "CC0", "url": "x"}],
    }


@pytest.fixture
def write_inat(tmp_path: Path, write_images: Callable[[Path, list[str]], Path]) -> Write:
    def write(*lists: str, change: Change | None = None) -> Path:
        """Write lists and their images. `change` alters the content of the first list."""
        folder = tmp_path / "inat2021"
        for number, name in enumerate(lists or ("train", "val")):
            write_images(folder, PATHS[name])
            content = official(name)
            if change is not None and number == 0:
                change(content)
            (folder / f"{name}.json").write_text(json.dumps(content))
        return folder

    return write


def load(data_dir: object, **options: object) -> DatasetDict:
    return load_retrieval_dataset("inat2021", data_dir=data_dir, **{"check_counts": False, **options})


def content(dataset: DatasetDict) -> dict[str, list[tuple[str, int]]]:
    return {name: list(zip(split["image_id"][:], split["label"][:])) for name, split in dataset.items()}


def check(dataset: DatasetDict, train: str = "train") -> None:
    assert content(dataset) == {
        "train": list(zip(PATHS[train], LABELS[train])),
        "test": list(zip(PATHS["val"], LABELS["val"])),
    }
    for split in dataset.values():
        assert split.features["label"] == ClassLabel(names=NAMES)
        assert split[1]["image"].size == (8, 8)


def test_folder(write_inat: Write) -> None:
    check(load(write_inat()))


def test_the_list_to_train_on_is_asked_for_by_name(write_inat: Write) -> None:
    folder = write_inat("train_mini", "val")
    with pytest.raises(
        FileNotFoundError, match=r"It has train_mini\.json: .* train_split='train_mini' \(--train_split"
    ):
        load(folder)
    check(load(folder, train_split="train_mini"), "train_mini")
    check(load(write_inat("train", "train_mini", "val")))
    with pytest.raises(ValueError, match="expected train_split to be one of train, train_mini; got 'val'"):
        load(folder, train_split="val")


def test_archives(write_inat: Write, tmp_path: Path) -> None:
    folder = write_inat()
    for name in ("train", "val", "train.json", "val.json"):
        with tarfile.open(folder / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(folder / name, name)
        (folder / name).rename(tmp_path / f"{name} away")
    check(load(folder))
    assert sorted(path.name for path in folder.iterdir() if not path.name.endswith(".gz")) == ["train", "val"]
    (folder / "val.tar.gz").unlink()
    check(load(folder))
    (folder / "val").rename(folder / "away")
    with pytest.raises(FileNotFoundError, match=r"has the lists and no images: expected val/ or val\.tar\.gz there"):
        load(folder)


def test_an_archive_without_its_list(write_inat: Write) -> None:
    folder = write_inat()
    with tarfile.open(folder / "val.json.tar.gz", "w:gz") as archive:
        archive.add(folder / "val.json", "other.json")
    (folder / "val.json").unlink()
    with pytest.raises(ValueError, match=r"val\.json\.tar\.gz: expected val\.json in it"):
        load(folder)
    (folder / "val.json.tar.gz").write_bytes((folder / "val.json.tar.gz").read_bytes()[:40])
    with pytest.raises(ValueError, match=r"val\.json\.tar\.gz is no tar archive, or is damaged"):
        load(folder)


@pytest.mark.parametrize("seed", range(3))
def test_by_species_no_species_is_in_both_splits(write_inat: Write, seed: int) -> None:
    found = content(load(write_inat(), test_fraction=0.34, seed=seed))
    (tested,) = choose_test_classes(["0", "1", "2"], 0.34, seed)
    every = [(path, label) for name in ("train", "val") for path, label in zip(PATHS[name], LABELS[name])]
    assert found["test"] == [row for row in every if row[1] == int(tested)]
    assert found["train"] == [row for row in every if row[1] != int(tested)]
    assert content(load(write_inat(), test_fraction=0)) == {"train": every}


def test_official_counts_are_checked(write_inat: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_inat("train", "train_mini", "val")
    assert OFFICIAL_COUNTS == {"train": (2686843, 10000), "train_mini": (500000, 10000), "val": (100000, 10000)}
    with pytest.raises(ValueError, match=r"train\.json: expected 2,686,843 images of 10,000 .* in train, found 6 of 3"):
        load(folder, check_counts=True)
    with pytest.raises(ValueError, match=r"expected 500,000 images of 10,000 classes in train_mini, found 3 of 3"):
        load(folder, train_split="train_mini", check_counts=True)
    for name, labels in LABELS.items():
        monkeypatch.setitem(OFFICIAL_COUNTS, name, (len(labels), 3))
    check(load(folder, check_counts=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("images"), "expected a list of objects at the key images"),
        (lambda c: c.update(annotations={}), "expected a list of objects at the key annotations"),
        (lambda c: c["categories"].append(3), "expected a list of objects at the key categories"),
        (lambda c: c["categories"].pop(0), "expected categories with the ids 0 to 1, each with a name"),
        (lambda c: c["categories"][1].update(id=0), "expected categories with the ids 0 to 2, each with a name"),
        (lambda c: c["categories"][1].update(id="1"), "expected categories with the ids 0 to 2, each with a name"),
        (lambda c: c["categories"][1].update(id=True), "expected categories with the ids 0 to 2, each with a name"),
        (lambda c: c["categories"][1].update(id=[1]), "expected categories with the ids 0 to 2, each with a name"),
        (lambda c: c["categories"][1].update(name=None), "expected categories with the ids 0 to 2, each with a name"),
        (lambda c: c["annotations"][1].update(category_id=3), r"annotation 1: .* got 928 and 3"),
        (lambda c: c["annotations"][1].update(category_id=None), r"annotation 1: .* got 928 and None"),
        (lambda c: c["annotations"][1].update(image_id=935), r"annotation 1: expected an image_id that no other has"),
        (lambda c: c["annotations"].pop(), r"image 0: .* an id with an annotation; got 'train/00000_.*' and 900"),
        (lambda c: c["images"][2].update(id=[1]), r"image 2: .* and \[1\]"),
        (lambda c: c["images"][2].update(file_name="train/../../x.jpg"), r"image 2: .* got 'train/\.\./\.\./x\.jpg'"),
        (lambda c: c["images"][2].update(file_name="/etc/passwd"), r"image 2: .* below train/ .* got '/etc/passwd'"),
        (lambda c: c["images"][2].update(file_name=7), r"image 2: .* got 7 and 914"),
        (lambda c: c["categories"][1].update(name="Corvus corone"), "expected the same species in train.json and val"),
    ],
)
def test_other_content_is_named(write_inat: Write, change: Change, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(write_inat(change=change))


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "7", "[" * 100_000, '{"images": "\udcff"}'])
def test_files_that_are_no_such_json_are_named(write_inat: Write, text: str) -> None:
    folder = write_inat()
    (folder / "train.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"train\.json: (not JSON in UTF-8|expected a list of objects)"):
        load(folder)


def test_missing_images_are_named(write_inat: Write) -> None:
    folder = write_inat()
    (folder / PATHS["val"][1]).unlink()
    with pytest.raises(FileNotFoundError, match=rf"1 of 9 images are missing: {PATHS['val'][1]}"):
        load(folder)


@pytest.mark.parametrize("data_dir", [None, "nowhere"])
def test_missing_data_says_what_to_do(data_dir: str | None) -> None:
    with pytest.raises(FileNotFoundError, match=r"inat_comp/tree/master/2021,\n.*val\.json.*\n.*hf-vitret demo"):
        load(data_dir)
