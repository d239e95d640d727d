"""Which paths and addresses the rows of a data set may name, and what is refused where a data set is read."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, DatasetDict, Features, Image, IterableDataset, Value
from huggingface_hub import constants
from PIL import Image as PILImage

from hf_vitret.data.catalogue.allowed_paths import AllowedPaths, check_stored_stream, shorten
from hf_vitret.data.catalogue.hub_datasets import read_hub, read_saved

HUB = f"{constants.HF_HUB_CACHE}/datasets--Ada--photos"


@pytest.mark.parametrize(
    ("path", "is_held"),
    [
        ("/data/shop/a.jpg", True),
        ("/data/shop/b/../a.jpg", True),
        ("/data//shop/./a.jpg", True),
        ("/data/shop", False),
        ("/data/shop/../a.jpg", False),
        ("/data/shop2/a.jpg", False),
        ("/data/shop/../shop2/a.jpg", False),
        ("a.jpg", False),
        ("", False),
        ("~/a.jpg", False),
        ("file:///data/shop/a.jpg", False),
        ("file:/data/shop/a.jpg", False),
        ("https://x.org/data/shop/a.jpg", False),
        ("simplecache::/data/shop/a.jpg", False),
    ],
)
def test_files_of_a_folder(path, is_held):
    assert AllowedPaths.of_folder("/data/shop").holds(path) is is_held
    assert AllowedPaths.of_folder("/data/x/../shop/").holds(path) is is_held


@pytest.mark.parametrize(
    ("path", "is_held"),
    [
        ("hf://datasets/Ada/photos@0123/img/a.jpg", True),
        ("hf://datasets/ada/Photos/img/a.jpg", True),
        ("zip://a.jpg::hf://datasets/Ada/photos@0123/img.zip", True),
        (f"{constants.ENDPOINT}/datasets/Ada/photos/resolve/main/a.jpg", True),
        (f"{HUB}/snapshots/0123/a.jpg", True),
        ("hf://datasets/Ada/photos2@0123/a.jpg", False),
        ("hf://datasets/Ada/photos@0123/../../../Eve/x/a.jpg", False),
        ("hf://Ada/photos/a.jpg", False),
        ("zip://a.jpg::file:///home/me/img.zip", False),
        ("zip://a.jpg::/home/me/img.zip", False),
        ("simplecache::hf://datasets/Ada/photos@0123/a.jpg", False),
        ("https://x.org/a.jpg", False),
        ("http://169.254.169.254/latest", False),
        ("/etc/hostname", False),
        ("img/a.jpg", False),
        (f"{HUB}-2/a.jpg", False),
        (f"{HUB}/../datasets--Ada--secret/a.jpg", False),
    ],
    ids=lambda value: str(value).replace(str(HUB), "HUB"),
)
def test_files_of_a_data_set_on_the_hub(path, is_held):
    assert AllowedPaths.of_hub("Ada/photos").holds(path) is is_held


def test_a_linked_folder_holds_what_is_behind_it(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    allowed = AllowedPaths.of_folder(tmp_path / "link")
    assert allowed.holds(f"{tmp_path}/link/a")
    assert allowed.holds(f"{os.path.realpath(tmp_path)}/real/a")


def test_shorten():
    assert shorten("x" * 80) == "x" * 80
    assert shorten("x" * 41 + "y" * 40) == "x" * 40 + "..." + "y" * 40 + " (81 characters)"


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "home" / "photo.png"
    path.parent.mkdir()
    PILImage.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return path


def hub_folder(root: Path, photo: Path, path: str, kind: str) -> Path:
    """Write a folder in the Hub's layout: an image with bytes, one without any, and one that is a path alone."""
    stored = [{"bytes": photo.read_bytes(), "path": "/elsewhere/1.png"}, None, {"bytes": None, "path": path}]
    (root / "data").mkdir(parents=True)
    if kind == "strings":
        pq.write_table(pa.table({"image": [path], "label": ["x"]}), root / "data" / "train-0.parquet")
    else:
        pq.write_table(pa.table({"image": stored, "label": [*"xyz"]}), root / "data" / "train-0.parquet")
    return root


@pytest.mark.parametrize("kind", ["struct", "strings"])
def test_a_folder_in_the_layout_of_the_hub(tmp_path, photo, kind):
    for number, path in enumerate([str(photo), "../home/photo.png", f"file://{photo}", "data/photo.png"]):
        folder = hub_folder(tmp_path / f"{number}", photo, path, kind)
        row, count = (2, 3) if kind == "struct" else (0, 1)
        words = rf"split 'train': expected images of its own files only; 1 of {count} images are outside: row {row}: "
        with pytest.raises(ValueError, match=words):
            read_hub(str(folder), "image")
        assert len(read_hub(str(folder))["train"]) == count
    inside = hub_folder(tmp_path / "in", photo, str(tmp_path / "in" / "photo.png"), kind)
    photo.rename(inside / "photo.png")
    assert set(read_hub(str(inside), "image")) == {"train"}
    assert set(read_hub(str(inside), "other")) == {"train"}


def test_a_saved_data_set(tmp_path, photo):
    data = Dataset.from_dict({"image": [{"bytes": None, "path": str(photo)}]}, features=Features({"image": Image()}))
    DatasetDict(train=data).save_to_disk(tmp_path / "saved")  # writes the bytes into its files
    assert read_saved(tmp_path / "saved", "image")["train"][0]["image"].size == (8, 8)
    [file] = (tmp_path / "saved" / "train").glob("*.arrow")
    table = pa.table({"image": pa.array([{"bytes": None, "path": str(photo)}], data.features.arrow_schema.types[0])})
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, data.features.arrow_schema) as writer:
        writer.write_table(table.cast(data.features.arrow_schema))
    with pytest.raises(ValueError, match=r"saved, split 'train': .* 1 of 1 images are outside: row 0: /"):
        read_saved(tmp_path / "saved", "image")
    assert len(read_saved(tmp_path / "saved")["train"]) == 1


def test_a_stream_stops_at_the_first_image_outside(photo):
    images = [{"bytes": photo.read_bytes(), "path": "/x"}, None, {"bytes": None, "path": str(photo)}]
    features = Features({"image": Image(decode=False), "label": Value("int64")})
    stream = IterableDataset.from_generator(
        lambda: ({"image": image, "label": row} for row, image in enumerate(images)), features=features
    )
    checked = check_stored_stream(stream, "image", AllowedPaths.of_hub("ada/photos"), "ada/photos")
    assert checked.features == features
    rows = iter(checked)
    assert [next(rows) for _ in range(2)] == [{"image": image, "label": row} for row, image in enumerate(images[:2])]
    with pytest.raises(ValueError, match=r"ada/photos: expected images of its own files only; got /.*--allow_outside"):
        next(rows)
    allowed = AllowedPaths.of_folder(photo.parent)
    assert len([*check_stored_stream(stream, "image", allowed, "x")]) == 3


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "data").mkdir()
    pq.write_table(pa.table({"image": ["a"], "label": ["b"]}), tmp_path / "data" / "train-0.parquet")
    (tmp_path / "data" / "train-1.parquet").write_bytes((tmp_path / "data" / "train-0.parquet").read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"cannot be read .*: .*empty or cut off: data/train-1.parquet"):
        read_hub(str(tmp_path))
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "train.csv").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot be read .*: .*empty or cut off: train.csv"):
        read_hub(str(tmp_path / "csv"))
