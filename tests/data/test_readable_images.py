"""Unreadable images stop a run before it starts, or are left out of every split and counted."""

import io
import logging

import numpy as np
import pytest
from accelerate import PartialState
from datasets import DatasetDict
from PIL import Image as PilImage

from hf_vitret.data import readable_images as module
from hf_vitret.data.images import read_image
from hf_vitret.data.readable_images import readable_images
from tests.training import runs

BROKEN = {"bytes": b"\x89PNG broken", "path": None}


def cut_jpeg(seed: int, lost: int) -> bytes:
    """Make a JPEG file of noise without its last bytes."""
    stream = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    PilImage.fromarray(values).save(stream, "JPEG")
    return stream.getvalue()[:-lost]


def with_broken(rows: dict[str, list[int]], cut: dict[str, list[int]] | None = None) -> DatasetDict:
    """Damage some images of a data set, and replace others by truncated JPEG files."""
    from datasets import Image

    dataset = runs.shapes_dataset()
    for name, broken in rows.items():
        split = dataset[name].cast_column("image", Image(decode=False))
        images = [BROKEN if row in broken else image for row, image in enumerate(split["image"])]
        for row in (cut or {}).get(name, []):
            images[row] = {"bytes": cut_jpeg(row, 2 + 50 * row), "path": f"{row}.jpg"}
        features = split.features
        split = split.remove_columns("image").add_column("image", images).select_columns(list(features))
        dataset[name] = split.cast_column("image", Image())
    return dataset


def test_whole_splits_stay_as_they_are() -> None:
    dataset = runs.shapes_dataset()
    kept, left_out, mended = readable_images(dataset, "error")
    assert left_out == mended == {}
    assert {name: split["image_id"][:] for name, split in kept.items()} == {
        name: split["image_id"][:] for name, split in dataset.items()
    }


def test_bad_images_of_all_splits_are_named() -> None:
    with pytest.raises(ValueError, match=r"train: 2 of 24 images cannot be read:\n  row 3, 0/3: [^$]*test: 1 of 20"):
        readable_images(with_broken({"train": [3, 9], "test": [0]}), "error")


def test_bad_images_are_left_out() -> None:
    dataset = with_broken({"train": [3, 9], "test": [0]})
    kept, left_out, mended = readable_images(dataset, "skip")
    assert mended == {}
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


def test_truncated_jpegs_are_mended_in_their_rows(caplog: pytest.LogCaptureFixture) -> None:
    dataset = with_broken({"train": [3, 9], "test": []}, {"train": [0, 4, 23], "test": [7]})
    before = {name: split["image_id"][:] for name, split in dataset.items()}
    with caplog.at_level(logging.WARNING):
        kept, left_out, mended = readable_images(dataset, "mend")
    assert "train: completed 3 truncated JPEG files: row 0, 0/0: OSError: image file is truncated" in caplog.text
    assert {name: [bad.row for bad in images] for name, images in mended.items()} == {"train": [0, 4, 23], "test": [7]}
    assert {name: [bad.row for bad in images] for name, images in left_out.items()} == {"train": [3, 9]}
    assert kept["train"]["image_id"][:] == [one for one in before["train"] if one not in ("0/3", "2/1")]
    assert kept["test"]["image_id"][:] == before["test"]
    assert kept["train"].features == dataset["train"].features
    for name, rows in {"train": {0: 0, 3: 4, 21: 23}, "test": {7: 7}}.items():
        for row, number in rows.items():
            whole = {"bytes": cut_jpeg(number, 2 + 50 * number) + b"\xff\xd9", "path": None}
            expected = np.asarray(read_image(whole))
            assert np.array_equal(np.asarray(kept[name][row]["image"].convert("RGB")), expected)
    others = set(range(24)) - {0, 3, 4, 9, 23}
    stored = dataset["train"]
    for row, number in zip([row for row in range(22) if row not in (0, 3, 21)], sorted(others)):
        assert kept["train"][row]["label"] == stored[number]["label"]
        assert kept["train"][row]["image"].tobytes() == stored[number]["image"].tobytes()


def test_every_process_has_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is not the main one does not check; it receives the rows and mends the same images."""
    dataset = with_broken({"train": [3], "test": []}, {"train": [0, 4], "test": [7]})
    sent = []
    monkeypatch.setattr(module, "broadcast_object_list", lambda found: sent.append(found[0]))
    kept, *reported = readable_images(dataset, "mend")
    monkeypatch.setattr(PartialState, "is_main_process", property(lambda self: False))
    monkeypatch.setattr(module, "find_bad_images", None)
    monkeypatch.setattr(module, "broadcast_object_list", lambda found: found.__setitem__(0, sent[0]))
    others, *reported_there = readable_images(dataset, "mend")
    assert reported_there == reported
    for name in kept:
        ours, theirs = kept[name].with_format("arrow")[:], others[name].with_format("arrow")[:]
        assert ours.equals(theirs)


def test_a_split_of_images_that_cannot_be_mended_is_refused() -> None:
    with pytest.raises(ValueError, match="test: none of the 20 images can be read"):
        readable_images(with_broken({"test": list(range(20))}), "mend")
