"""Unreadable images stop a run before it starts, or are left out of every split and counted."""

import pytest
from datasets import DatasetDict

from hf_vitret.data.readable_images import readable_images
from tests.training import runs

BROKEN = {"bytes": b"\x89PNG broken", "path": None}


def with_broken(rows: dict[str, list[int]]) -> DatasetDict:
    """Damage some images of a data set."""
    from datasets import Image

    dataset = runs.shapes_dataset()
    for name, broken in rows.items():
        split = dataset[name].cast_column("image", Image(decode=False))
        images = [BROKEN if row in broken else image for row, image in enumerate(split["image"])]
        features = split.features
        split = split.remove_columns("image").add_column("image", images).select_columns(list(features))
        dataset[name] = split.cast_column("image", Image())
    return dataset


def test_whole_splits_stay_as_they_are() -> None:
    dataset = runs.shapes_dataset()
    kept, left_out = readable_images(dataset, "error")
    assert left_out == {}
    assert {name: split["image_id"][:] for name, split in kept.items()} == {
        name: split["image_id"][:] for name, split in dataset.items()
    }


def test_bad_images_of_all_splits_are_named() -> None:
    with pytest.raises(ValueError, match=r"train: 2 of 24 images cannot be read:\n  row 3, 0/3: [^$]*test: 1 of 20"):
        readable_images(with_broken({"train": [3, 9], "test": [0]}), "error")


def test_bad_images_are_left_out() -> None:
    dataset = with_broken({"train": [3, 9], "test": [0]})
    kept, left_out = readable_images(dataset, "skip")
    assert {name: [(bad.row, bad.image_id) for bad in images] for name, images in left_out.items()} == {
        "train": [(3, "0/3"), (9, "2/1")],
        "test": [(0, "6/0")],
    }
    assert kept["train"]["image_id"][:] == [name for name in dataset["train"]["image_id"] if name not in ("0/3", "2/1")]
    assert kept["test"]["image_id"][:] == dataset["test"]["image_id"][1:]
    assert len(dataset["train"]) == 24


def test_a_split_of_bad_images_is_refused() -> None:
    with pytest.raises(ValueError, match=r"test: none of the 20 images can be read; the first: row 0, 6/0: "):
        readable_images(with_broken({"test": list(range(20))}), "skip")
