"""Metadata files of a folder of images, against `datasets`, which defines them."""

import csv
import gc
import io
import json
import warnings
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Value, load_dataset
from PIL import Image

from hf_vitret.data import load_retrieval_dataset


def encode(rows, kind):
    """Return the rows as the bytes of a metadata file."""
    if kind == "jsonl":
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if kind == "parquet":
        stream = io.BytesIO()
        Dataset.from_list(rows).to_parquet(stream)
        return stream.getvalue()
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue().encode()


def rows_of(names, label="label", path="file_name"):
    return [{path: name, label: f"class {row % 4}"} for row, name in enumerate(names)]


def path_of(image, folder):
    """Return the relative path of an image that `datasets` has not decoded."""
    return Path(image["path"]).relative_to(folder).as_posix()


def own_rows(folder, **options):
    """Return the split, path and class of each image, all images in one split unless the source has several."""
    dataset = load_retrieval_dataset("catalogue", folder, **options)
    return {
        (name, image_id, split.features["label"].int2str(label))
        for name, split in dataset.items()
        for image_id, label in zip(split["image_id"][:], split["label"][:])
    }


def oracle_rows(folder):
    with warnings.catch_warnings():
        # It reads the first rows of a CSV file and leaves it to the garbage collector to close the file.
        warnings.simplefilter("ignore", ResourceWarning)
        dataset = load_dataset("imagefolder", data_dir=str(folder))
        gc.collect()
    return {
        (name, path_of(row["image"], folder), str(row["label"]))
        for name, split in dataset.items()
        for row in split.cast_column("image", split.features["image"].__class__(decode=False))
    }


PARTS = [f"part{part}/{number}.jpg" for part in range(3) for number in range(4)]
NESTED = [f"a/b{part}/c/{number}.jpg" for part in range(2) for number in range(6)]
HERE = [f"{number}.jpg" for number in range(8)]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize(
    "places",
    [
        {"": PARTS},
        {"": HERE},
        {"a": [name.removeprefix("a/") for name in NESTED]},
        {f"part{part}": HERE[:4] for part in range(3)},
        {"": [f"./part{part}//{number}.jpg" for part in range(3) for number in range(4)]},
        {"train": HERE, "test": HERE[:4]},
        {"train": [f"x/{name}" for name in HERE], "test": [f"y/{name}" for name in HERE]},
    ],
)
def test_the_same_rows_as_imagefolder(tmp_path, write_images, kind, places):
    images = [str(Path(place, name)) for place, names in places.items() for name in names]
    folder = write_images(tmp_path / "shop", images)
    for place, names in places.items():
        (folder / place / f"metadata.{kind}").write_bytes(encode(rows_of(names), kind))
    expected = oracle_rows(folder)
    has_splits = any(name == "test" for name, _, _ in expected)
    assert own_rows(folder, **({} if has_splits else {"test_fraction": 0})) == expected


def test_images_without_a_row_are_left_out_as_by_imagefolder(tmp_path, write_images):
    folder = write_images(tmp_path / "shop", PARTS)
    (folder / "metadata.csv").write_bytes(encode(rows_of(PARTS[2:]), "csv"))
    assert own_rows(folder, test_fraction=0) == oracle_rows(folder)


def test_the_script_of_the_fault(tmp_path):
    rows = ["file_name,label"]
    for part in range(4):
        for number in range(8):
            file = tmp_path / f"part{part}" / f"{number}.jpg"
            file.parent.mkdir(exist_ok=True)
            Image.new("RGB", (40, 40), (30 * number, 60 * part, 9)).save(file)
            rows.append(f"part{part}/{number}.jpg,class{(number + part) % 4}")
    (tmp_path / "metadata.csv").write_text("\n".join(rows) + "\n")
    dataset = load_retrieval_dataset("catalogue", tmp_path)
    assert dataset["train"].features["label"].names == ["class0", "class1", "class2", "class3"]
    assert dataset["train"][0]["image"].size == (40, 40)


def test_paths_with_backslashes(tmp_path, write_images):
    folder = write_images(tmp_path / "shop", PARTS)
    (folder / "metadata.csv").write_bytes(encode(rows_of([name.replace("/", "\\") for name in PARTS]), "csv"))
    assert {image for _, image, _ in own_rows(folder, test_fraction=0)} == set(PARTS)


def test_classes_that_look_like_numbers_stay_text(tmp_path, write_images):
    folder = write_images(tmp_path / "shop", HERE)
    rows = [{"file_name": name, "label": ("007", "7", "None", "1.0")[row % 4]} for row, name in enumerate(HERE)]
    (folder / "metadata.csv").write_bytes(encode(rows, "csv"))
    assert {label for _, _, label in own_rows(folder)} == {"007", "7", "None", "1.0"}


def test_class_labels_of_a_parquet_file(tmp_path, write_images):
    folder = write_images(tmp_path / "shop", HERE)
    features = Features(file_name=Value("string"), label=ClassLabel(names=["cup", "fan", "mug", "sofa"]))
    rows = {"file_name": HERE, "label": [row % 4 for row in range(8)]}
    Dataset.from_dict(rows, features=features).to_parquet(folder / "metadata.parquet")
    expected = {("train", name, features["label"].names[row % 4]) for row, name in enumerate(HERE)}
    assert own_rows(folder, test_fraction=0) == expected


@pytest.mark.parametrize(
    ("column", "image_column"),
    [("file_name", "image"), ("image_file_name", "image"), ("photo_file_name", "photo"), ("path", "path")],
)
def test_names_of_the_path_column(tmp_path, write_images, column, image_column):
    folder = write_images(tmp_path / "shop", PARTS)
    (folder / "metadata.csv").write_bytes(encode(rows_of(PARTS, "sku", column), "csv"))
    found = own_rows(folder, test_fraction=0, image_column=image_column, label_column="sku")
    assert found == {("train", name, f"class {row % 4}") for row, name in enumerate(PARTS)}


def test_ids_of_ones_own(tmp_path, write_images):
    folder = write_images(tmp_path / "shop", PARTS)
    rows = [{**row, "image_id": f"id {number}"} for number, row in enumerate(rows_of(PARTS))]
    (folder / "metadata.csv").write_bytes(encode(rows, "csv"))
    found = own_rows(folder, test_fraction=0)
    assert found == {("train", row["image_id"], row["label"]) for row in rows}


def test_a_parquet_file_that_is_none(tmp_path, write_images):
    folder = write_images(tmp_path / "shop", PARTS)
    (folder / "metadata.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"metadata\.parquet: not a Parquet file"):
        load_retrieval_dataset("catalogue", folder)


def test_an_empty_label_names_its_row(tmp_path, write_images):
    folder = write_images(tmp_path / "shop", PARTS)
    rows = rows_of(PARTS)
    rows[5]["label"] = ""
    (folder / "metadata.csv").write_bytes(encode(rows, "csv"))
    with pytest.raises(ValueError, match=r"column 'label' is null in 1 rows: 5"):
        load_retrieval_dataset("catalogue", folder)
