"""The user's own images: every form of source, and errors that name what is wrong with it."""

import csv
import json
import logging

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value

from hf_vitret.data import choose_test_classes, load_retrieval_dataset
from hf_vitret.data.preparation.prepare import prepare_dataset
from hf_vitret.data.preparation.prepared_folder import read_manifest
from tests import DEVELOPMENT_DATA

CLASSES = ["cup", "fan", "mug", "sofa"]
FILES = [f"{name}/{i}.jpg" for name in CLASSES for i in range(3)]
EMOJI = DEVELOPMENT_DATA / "emoji.parquet"


def load(data_dir, **options):
    return load_retrieval_dataset("catalogue", data_dir=data_dir, **options)


def labels_by_id(dataset):
    """Return split -> image_id -> class name."""
    return {
        name: {
            image_id: split.features["label"].int2str(label)
            for image_id, label in zip(split["image_id"][:], split["label"][:])
        }
        for name, split in dataset.items()
    }


def expected_halves(label_of):
    test = choose_test_classes(sorted(set(label_of.values())))
    return {
        "train": {key: name for key, name in label_of.items() if name not in test},
        "test": {key: name for key, name in label_of.items() if name in test},
    }


@pytest.fixture
def write_csv(tmp_path, write_images):
    def write(rows, header=("image", "label"), name="table.csv", files=FILES, encoding="utf-8"):
        write_images(tmp_path, files)
        with (tmp_path / name).open("w", newline="", encoding=encoding) as stream:
            delimiter = "\t" if name.endswith(".tsv") else ","
            csv.writer(stream, delimiter=delimiter).writerows([header, *rows])
        return tmp_path / name

    return write


# --- folders


def test_folder_per_class(tmp_path, write_images):
    dataset = load(write_images(tmp_path / "shop", FILES))
    assert labels_by_id(dataset) == expected_halves({name: name.split("/")[0] for name in FILES})
    assert dataset["train"].features["label"].names == CLASSES
    assert np.asarray(dataset["train"][0]["image"]).shape == (8, 8, 3)


def test_loading_opens_no_image(tmp_path, write_images):
    folder = write_images(tmp_path / "shop", FILES)
    for name in FILES:
        (folder / name).write_bytes(b"no image at all")
    assert sum(len(split) for split in load(folder).values()) == len(FILES)


@pytest.mark.parametrize("splits", [("train", "test"), ("train", "query", "gallery")])
def test_folder_with_splits(tmp_path, write_images, splits):
    names = [f"{split}/{name}" for split in splits for name in FILES]
    dataset = load(write_images(tmp_path / "shop", names))
    assert set(dataset) == set(splits)
    for split in splits:
        assert labels_by_id(dataset)[split] == {f"{split}/{name}": name.split("/")[0] for name in FILES}


def test_nested_folders_spaces_and_other_alphabets(tmp_path, write_images):
    names = ["shoes/high boots/1.PNG", "shoes/high boots/2.jpeg", "shoes/élan/1.jpg", "shoes/élan/2.jpg"]
    names += ["杯/1.png", "杯/2.png", "sale/high boots/1.jpg"]
    dataset = load(write_images(tmp_path / "my shop", names))
    found = {**labels_by_id(dataset)["train"], **labels_by_id(dataset)["test"]}
    assert found == {name: name.split("/")[-2] for name in names}


def test_what_is_no_image_is_left_out_and_counted(tmp_path, write_images, caplog):
    folder = write_images(tmp_path / "shop", FILES)
    for name in ["cup/._0.jpg", "cup/Thumbs.db", "fan/.DS_Store", "notes.txt", ".git/x.jpg"]:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    (folder / "empty class").mkdir()
    with caplog.at_level(logging.WARNING, "hf_vitret"):
        dataset = load(folder)
    assert sum(len(split) for split in dataset.values()) == len(FILES)
    assert "left out 4 files that the operating system or a program keeps for itself" in caplog.text
    assert "left out 1 files that are no images: notes.txt" in caplog.text
    assert "left out 1 folders without images: empty class" in caplog.text


def test_a_loop_of_links_ends(tmp_path, write_images):
    folder = write_images(tmp_path / "shop", FILES)
    (folder / "cup" / "again").symlink_to(folder)
    assert sum(len(split) for split in load(folder).values()) == len(FILES)


def test_images_without_a_class_folder(tmp_path, write_images):
    with pytest.raises(
        ValueError, match=r"holds images beside its class folders: loose.jpg. .*expected <class>/<image>"
    ):
        load(write_images(tmp_path / "shop", [*FILES, "loose.jpg"]))


def test_one_image_per_class(tmp_path, write_images):
    folder = write_images(tmp_path / "shop", [f"{i}/1.jpg" for i in range(5)])
    with pytest.raises(
        ValueError, match=r"each of the 5 classes has one image \(a folder with one image per class\?\)"
    ):
        load(folder)


def test_some_classes_of_one_image_are_kept_and_logged(tmp_path, write_images, caplog):
    names = [f"train/{name}" for name in [*FILES, "rug/0.jpg", "jar/0.jpg"]] + [f"test/{name}" for name in FILES]
    with caplog.at_level(logging.WARNING, "hf_vitret"):
        dataset = load(write_images(tmp_path / "shop", names))
    assert len(dataset["train"]) == len(FILES) + 2
    assert "2 classes of the train split have one image" in caplog.text


def test_one_class(tmp_path, write_images):
    with pytest.raises(ValueError, match="at least 2 classes in the train split, got 1: add images"):
        load(write_images(tmp_path / "shop", ["cup/1.jpg", "cup/2.jpg"]))


def test_two_classes_cannot_be_halved(tmp_path, write_images):
    folder = write_images(tmp_path / "shop", ["cup/1.jpg", "cup/2.jpg", "mug/1.jpg", "mug/2.jpg"])
    with pytest.raises(
        ValueError, match=r"at least 2 classes to train on and 1 to test on.*give a test split of your own"
    ):
        load(folder)


def test_no_images_at_all(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no images in train; expected <class>/<image>"):
        load(tmp_path)


def test_an_empty_test_folder(tmp_path, write_images):
    folder = write_images(tmp_path / "shop", [f"train/{name}" for name in FILES])
    (folder / "test").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no images in test; expected"):
        load(folder)


def test_split_folders_of_other_names_are_not_taken_for_classes(tmp_path, write_images):
    names = [f"{split}/{name}" for split in ("train", "val", "test") for name in FILES]
    with pytest.raises(
        ValueError, match=r"has the splits test \(12 images\), train .*, val .*; say which .* train_split"
    ):
        load(write_images(tmp_path / "shop", names))


def test_a_class_may_be_called_train(tmp_path, write_images):
    folder = write_images(tmp_path / "shop", [f"{name}/{i}.jpg" for name in ("car", "train", "ship") for i in range(2)])
    assert load(folder)["train"].features["label"].names == ["car", "ship", "train"]


# --- everything in the training split


@pytest.mark.parametrize("splits", [(), ("train", "test"), ("train", "query", "gallery")])
def test_without_a_test_fraction_everything_is_in_train(tmp_path, write_images, caplog, splits):
    names = [f"{split}/{name}" for split in splits for name in FILES] or FILES
    folder = write_images(tmp_path / "shop", names)
    with caplog.at_level(logging.WARNING, "hf_vitret"):
        dataset = load(folder, test_fraction=0)
    assert labels_by_id(dataset) == {"train": {name: name.split("/")[-2] for name in names}}
    assert dataset["train"].features["label"].names == CLASSES
    others = " and ".join(f"{split} ({len(FILES)} images)" for split in splits[1:])
    those = f", those of {others} too," if splits else ""
    assert f"all {len(names)} images are trained on{those} and none is left to measure the model on" in caplog.text


@pytest.mark.parametrize("options", [{}, {"image_format": "png"}])
def test_a_prepared_folder_joins_its_splits_too(tmp_path, write_images, options):
    folder = write_images(tmp_path / "shop", FILES)
    prepared = prepare_dataset(load(folder), tmp_path / "prepared", progress=False, **options)
    joined = load(prepared, test_fraction=0)
    assert set(joined) == {"train"}
    assert labels_by_id(joined)["train"] == {name: name.split("/")[0] for name in FILES}
    alone = prepare_dataset(load(folder, test_fraction=0), tmp_path / "alone", progress=False, **options)
    assert set(read_manifest(alone)["splits"]) == {"train"}
    assert labels_by_id(load(alone, test_fraction=0)) == {"train": {name: name.split("/")[0] for name in FILES}}


def test_two_classes_suffice_where_nothing_is_set_aside(tmp_path, write_images):
    names = ["cup/1.jpg", "cup/2.jpg", "mug/1.jpg", "mug/2.jpg"]
    assert labels_by_id(load(write_images(tmp_path / "shop", names), test_fraction=0)) == {
        "train": {name: name.split("/")[0] for name in names}
    }


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test_split": "b", "test_fraction": 0}, "no test split with test_fraction=0, .* got 'b': leave one"),
        ({"query_split": "q", "gallery_split": "g", "test_fraction": 0}, "no test split with .* got 'q': leave one"),
        ({"test_fraction": 1}, r"expected test_fraction in \[0, 1\), a share of the classes; got 1"),
        ({"test_fraction": -0.5}, r"expected test_fraction in \[0, 1\), a share of the classes; got -0.5"),
    ],
)
def test_test_fractions_that_mean_nothing(tmp_path, write_images, options, message):
    folder = write_images(tmp_path / "shop", [f"{split}/{name}" for split in ("train", "test") for name in FILES])
    with pytest.raises(ValueError, match=message):
        load(folder, **options)


# --- tables


@pytest.mark.parametrize(("name", "encoding"), [("t.csv", "utf-8"), ("t.csv", "utf-8-sig"), ("t.tsv", "utf-8")])
def test_csv(write_csv, name, encoding):
    rows = [[file, file.split("/")[0]] for file in FILES]
    dataset = load(write_csv(rows, name=name, encoding=encoding))
    assert labels_by_id(dataset) == expected_halves(dict(rows))
    assert np.asarray(dataset["test"][0]["image"]).shape == (8, 8, 3)


def test_csv_is_text(write_csv):
    classes = {"cup": "007", "fan": "7", "mug": "None", "sofa": "1.5"}
    dataset = load(write_csv([[file, classes[file.split("/")[0]]] for file in FILES]))
    assert dataset["train"].features["label"].names == ["007", "1.5", "7", "None"]


def test_csv_with_absolute_paths_does_not_put_them_into_the_ids(write_csv, tmp_path):
    dataset = load(write_csv([[str(tmp_path / file), file.split("/")[0]] for file in FILES]))
    assert {image_id for split in dataset.values() for image_id in split["image_id"]} == {
        f"train/{row:06d}" for row in range(len(FILES))
    }


def test_other_column_names_and_ids_of_ones_own(write_csv):
    rows = [[f"sku-{i}", file, file.split("/")[0]] for i, file in enumerate(FILES)]
    table = write_csv(rows, header=("image_id", "photo", "product"))
    dataset = load(table, image_column="photo", label_column="product")
    assert labels_by_id(dataset) == expected_halves({image_id: name for image_id, _, name in rows})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [["cup/0.jpg", ""], ["cup/1.jpg", "cup"], ["fan/0.jpg", ""]],
            r"column 'label' is null in 2 rows: 0, 2",
        ),
        ([["cup/0.jpg", "cup"], ["", "cup"]], r"the image path is missing in rows 1;"),
        ([["cup/0.jpg", "cup"], ["cup/0.jpg", "fan"]], r"listed more than once: cup/0.jpg; keep one row"),
        (
            [["cup/0.jpg", "cup"], ["cup/9.jpg", "cup"]],
            r"1 of 2 images are not there: row 1: cup/9.jpg. Paths are taken relative",
        ),
        (
            [["cup/0.jpg", "cup"], ["cup/1.jpg", "cup", "more"]],
            r"rows 1 have not as many cells as the header: 2",
        ),
        ([["cup/0.jpg", "cup"], ["cup/1.jpg"]], r"rows 1 have not as many cells as the header: 2"),
    ],
)
def test_rows_that_are_wrong(write_csv, rows, message):
    with pytest.raises(ValueError, match=message):
        load(write_csv(rows))


def test_bytes_that_are_no_csv(tmp_path):
    for content in (b'image,label\n"a.jpg,cup\n', b"image,label\n\xff\xfe.jpg,cup\n"):
        (tmp_path / "t.csv").write_bytes(content)
        with pytest.raises(ValueError, match=r"t.csv, after line \d: not CSV in UTF-8"):
            load(tmp_path / "t.csv")


def test_missing_columns_list_those_there_are(write_csv):
    table = write_csv([["cup/0.jpg", "cup"]], header=("file", "klass"))
    with pytest.raises(
        ValueError, match=r"no column 'image'; it has file, klass. Name the image column with image_column="
    ):
        load(table)
    with pytest.raises(ValueError, match=r"no column 'label'; .*with label_column="):
        load(table, image_column="file")


def write_jsonl(table, rows):
    table.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return table


def test_jsonl(tmp_path, write_images):
    write_images(tmp_path, FILES)
    rows = [{"image": file, "label": file.split("/")[0], "price": row} for row, file in enumerate(FILES)]
    dataset = load(write_jsonl(tmp_path / "table.jsonl", rows))
    assert labels_by_id(dataset) == expected_halves({row["image"]: row["label"] for row in rows})
    assert np.asarray(dataset["test"][0]["image"]).shape == (8, 8, 3)


def test_jsonl_with_numbers_for_classes_and_ids_of_its_own(tmp_path, write_images):
    write_images(tmp_path, FILES)
    number_of = {"cup": 10, "fan": 9, "mug": -1, "sofa": 7}
    rows = [{"image_id": row, "photo": file, "kind": number_of[file.split("/")[0]]} for row, file in enumerate(FILES)]
    dataset = load(write_jsonl(tmp_path / "table.jsonl", rows), image_column="photo", label_column="kind")
    assert dataset["train"].features["label"].names == ["-1", "7", "9", "10"]
    assert labels_by_id(dataset) == expected_halves({str(row["image_id"]): str(row["kind"]) for row in rows})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{"image": "cup/0.jpg"}, {"image": "cup/1.jpg", "label": "cup"}], r"column 'label' is null in 1 rows: 0"),
        ([{"image": "cup/0.jpg", "label": 0.5}], r"column 'label' is float64; expected text, whole numbers"),
        ([{"image": "cup/0.jpg", "label": 1}, {"image": "cup/1.jpg", "label": "cup"}], "line 2: column 'label' is"),
        ([{"image": "cup/0.jpg", "label": 1}, {"label": 1}], r"the image path is missing in rows 1;"),
        (
            [{"image": "cup/9.jpg", "label": 1}],
            r"1 of 1 images are not there: row 0: cup/9.jpg. Paths are taken",
        ),
        ([{"image": {"cup": 0}, "label": 1}], r"column 'image' is .*; expected Image"),
        ([{"image": "cup/0.jpg", "klass": 1}], r"no column 'label'; it has image, klass. Name the label column"),
    ],
)
def test_jsonl_that_is_wrong(tmp_path, write_images, rows, message):
    write_images(tmp_path, FILES)
    with pytest.raises(ValueError, match=message):
        load(write_jsonl(tmp_path / "table.jsonl", rows))


@pytest.mark.parametrize("form", ["paths", "bytes", "struct", "image"])
def test_parquet(tmp_path, write_images, draw, form):
    labels = [name.split("/")[0] for name in FILES]
    images = {
        "paths": FILES,
        "bytes": [draw(name) for name in FILES],
        "struct": [{"bytes": draw(name), "path": name} for name in FILES],
        "image": [{"bytes": draw(name), "path": name} for name in FILES],
    }[form]
    table = Dataset.from_dict({"image": images, "label": labels})
    if form == "image":
        table = table.cast_column("image", Image())
    write_images(tmp_path, FILES)
    table.to_parquet(tmp_path / "table.parquet")
    dataset = load(tmp_path / "table.parquet")
    ids = [f"train/{row:06d}" for row in range(len(FILES))] if form == "bytes" else FILES
    assert labels_by_id(dataset) == expected_halves(dict(zip(ids, labels)))
    assert dataset["train"][0]["image"].size == (8, 8)


def test_a_file_that_is_no_table(tmp_path, write_images):
    write_images(tmp_path, ["cup.jpg"])
    with pytest.raises(ValueError, match=r"expected a folder, or a table \(.csv, .tsv, .jsonl, .parquet\); got '.jpg'"):
        load(tmp_path / "cup.jpg")


# --- data sets


def make_dataset(draw, labels, feature=None):
    images = [{"bytes": draw(str(row)), "path": None} for row in range(len(labels))]
    features = Features(image=Image(), label=feature) if feature else None
    rows = {"image": images, "label": labels}
    return Dataset.from_dict(rows, features=features) if features else Dataset.from_dict(rows)


@pytest.mark.parametrize(
    ("labels", "feature", "names"),
    [
        (["é t", "b", "a"] * 2, Value("string"), ["a", "b", "é t"]),
        ([1000, 7, -3] * 2, Value("int64"), ["-3", "7", "1000"]),
        ([200, 7, 30] * 2, Value("uint8"), ["7", "30", "200"]),
        ([2, 0, 3] * 2, ClassLabel(names=["w", "x", "y", "a"]), ["a", "w", "y"]),
    ],
)
def test_labels_of_each_type(tmp_path, draw, labels, feature, names):
    make_dataset(draw, labels, feature).save_to_disk(tmp_path / "saved")
    dataset = load(tmp_path / "saved")
    assert dataset["train"].features["label"].names == names
    text = [feature.names[label] if isinstance(feature, ClassLabel) else str(label) for label in labels]
    ids = [f"train/{row:06d}" for row in range(len(labels))]
    assert labels_by_id(dataset) == expected_halves(dict(zip(ids, text)))


@pytest.mark.parametrize(
    ("labels", "feature", "message"),
    [
        (
            [0.5, 1.0, 1.0],
            Value("float64"),
            r"column 'label' is float64; expected text, whole numbers or ClassLabel",
        ),
        ([True, False, True], Value("bool"), r"column 'label' is bool; expected"),
        (
            [0, None, 1, None],
            Value("int64"),
            r"column 'label' is null in 2 rows: 1, 3. Give each image a class",
        ),
        (["a", "", "b"], Value("string"), r"is null in 1 rows: 1"),
        ([0, -1, 1, 1], ClassLabel(names=["a", "b"]), r"is null in 1 rows: 1"),
        ([0.5, None], Value("float64"), r"is null in 1 rows: 1"),
    ],
)
def test_labels_that_cannot_be_classes(tmp_path, draw, labels, feature, message):
    make_dataset(draw, labels, feature).save_to_disk(tmp_path / "saved")
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "saved")


def test_a_column_that_is_no_image(tmp_path):
    Dataset.from_dict({"image": [1, 2], "label": ["a", "b"]}).save_to_disk(tmp_path / "saved")
    with pytest.raises(
        ValueError,
        match=r"column 'image' is .*int64.*; expected Image, or bytes, paths or struct<bytes, path>",
    ):
        load(tmp_path / "saved")


def test_class_numbers_are_shared_by_splits_that_number_them_differently(tmp_path, draw):
    train = make_dataset(draw, [0, 0, 1], ClassLabel(names=["fan", "cup"]))
    test = make_dataset(draw, [0, 1, 2], ClassLabel(names=["cup", "rug", "fan"]))
    DatasetDict(train=train, test=test).save_to_disk(tmp_path / "saved")
    dataset = load(tmp_path / "saved")
    assert dataset["train"].features == dataset["test"].features
    assert list(labels_by_id(dataset)["train"].values()) == ["fan", "fan", "cup"]
    assert list(labels_by_id(dataset)["test"].values()) == ["cup", "rug", "fan"]


def test_splits_are_chosen_by_name(tmp_path, draw):
    splits = {name: make_dataset(draw, ["a", "a", "b"]) for name in ("fit", "validation", "gallery")}
    DatasetDict(splits).save_to_disk(tmp_path / "saved")
    assert set(load(tmp_path / "saved", train_split="fit", test_split="validation")) == {"train", "test"}
    chosen = load(tmp_path / "saved", train_split="fit", query_split="validation", gallery_split="gallery")
    assert set(chosen) == {"train", "query", "gallery"}
    with pytest.raises(
        ValueError, match=r"has the splits fit \(3 images\), validation .*; say which to use with train_split"
    ):
        load(tmp_path / "saved")
    with pytest.raises(ValueError, match=r"no split 'train'; it has fit, validation, gallery"):
        load(tmp_path / "saved", test_split="validation")
    with pytest.raises(
        ValueError, match=r"expected test_split, or query_split and gallery_split; got None, 'fit', None"
    ):
        load(tmp_path / "saved", query_split="fit")


def test_a_local_folder_in_the_hubs_layout(tmp_path, draw):
    (tmp_path / "data").mkdir()
    for name in ("train", "test"):
        make_dataset(draw, ["a", "a", "b"]).to_parquet(tmp_path / "data" / f"{name}-00000-of-00001.parquet")
    dataset = load(tmp_path)
    assert {name: len(split) for name, split in dataset.items()} == {"train": 3, "test": 3}


def test_nothing_there(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(
        FileNotFoundError, match=r"'no/such-catalogue' is no folder or table on this machine.*Check the path"
    ):
        load("no/such-catalogue")


def test_without_a_place():
    with pytest.raises(ValueError, match="expected data_dir, a folder"):
        load(None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"data_dir": "x", "dataset_name": "user/x"},
            "expected data_dir or dataset_name, not both; got 'x' and 'user/x'",
        ),
        ({"data_dir": None, "streaming": True}, "expected data_dir, a folder .* or dataset_name"),
        (
            {"data_dir": "user/x", "streaming": True},
            "expected streaming together with prepared_dir, .* got streaming=True, .*None",
        ),
        (
            {"data_dir": "user/x", "prepared_dir": "y"},
            "expected streaming together with prepared_dir, .* got streaming=False, .*'y'",
        ),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ValueError, match=message):
        load(**options)


def test_a_hub_name_is_not_a_folder_of_that_name(tmp_path, write_images, monkeypatch):
    write_images(tmp_path / "user" / "x", FILES)
    monkeypatch.chdir(tmp_path)
    assert set(load("user/x")) == {"train", "test"}
    with pytest.raises(FileNotFoundError, match="expected a data set 'user/x' on the Hub"):
        load(None, dataset_name="user/x", streaming=True, prepared_dir="y")


@pytest.mark.skipif(not EMOJI.is_file(), reason="the development data (../shared/data/emoji.parquet) is not here")
def test_emoji_split_is_the_one_its_readme_describes():
    dataset = load(EMOJI, label_column="name")
    counts = {name: (len(split), len(set(split["label"]))) for name, split in dataset.items()}
    assert counts == {"train": (4213, 597), "test": (4188, 596)}
