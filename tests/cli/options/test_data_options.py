"""The data and their options: declared once, handed on to the loaders by their names, and checked."""

import inspect
import shlex
from argparse import ArgumentParser, Namespace
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hf_vitret.cli.command_table import command_parser
from hf_vitret.cli.options.data_options import (
    DATA_HELP,
    LOADER_NAMES,
    DataOptions,
    add_data_options,
    choose_data,
    data_arguments,
)
from hf_vitret.data.loading import DATASETS
from hf_vitret.data.locating import NAMED

NAMES = [one.name for one in fields(DataOptions)]


def read(*line: str) -> Namespace:
    parser = ArgumentParser()
    add_data_options(parser)
    return parser.parse_args(line)


def chosen(*line: str) -> dict[str, object]:
    options = read(*line)
    return choose_data(options, options.data).options


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with `my photos`: four classes of three images."""
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for label in "abcd":
        for number in range(3):
            path = tmp_path / "my photos" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return tmp_path / "my photos"


@pytest.mark.parametrize("command", ["train", "evaluate", "doctor", "prepare", "export"])
def test_every_command_declares_the_same_options(command: str) -> None:
    parser, own = command_parser(command), ArgumentParser()
    add_data_options(own)
    there = {action.dest: action for action in parser._actions}
    for one in own._actions:
        if one.dest in NAMES:
            other = there[one.dest]
            assert (other.option_strings[0], other.default) == (f"--{one.dest}", one.default), one.dest
            assert str(other.help).replace("%%", "%") == one.help
    assert "data" in there


def test_the_help_names_every_data_set() -> None:
    """The help is written out: `NAMED` would import numpy for `--help`."""
    listed = DATA_HELP.rpartition("or the name ")[2]
    assert sorted(listed.replace(" or ", ", ").split(", ")) == sorted(NAMED)


def test_every_option_is_one_of_a_loader() -> None:
    known = {name for loader in DATASETS.values() for name in inspect.signature(loader).parameters}
    of_the_hub = {"dataset_revision"}  # of datasets.load_dataset
    assert {LOADER_NAMES.get(name, name) for name in NAMES if name not in of_the_hub} <= known


def test_only_what_is_given_is_handed_on_by_the_names_of_the_loader(photos: Path) -> None:
    assert chosen("my photos") == {}
    line = "--split_seed 3 --test_fraction 0.25 --image_column file --label_column sku --train_split all"
    assert chosen("my photos", *line.split()) == {
        "seed": 3,
        "test_fraction": 0.25,
        "image_column": "file",
        "label_column": "sku",
        "train_split": "all",
    }
    table = ["--image_dir", "images", "--image_suffix", ".jpg", "--on_missing_file", "skip", "--allow_outside"]
    assert chosen("my photos", *table) == {
        "image_dir": "images",
        "image_suffix": ".jpg",
        "on_missing_file": "skip",
        "allow_outside": True,
    }
    assert chosen("icons", "--min_drawings", "3", "--drawing_size", "64") == {"min_drawings": 3, "size": 64}
    assert chosen("my photos", "--class_level", "-1") == {"class_level": -1}
    line = "--data_dir x --train_split train_mini --test_fraction 0.5 --split_seed 1"
    assert chosen("inat2021", *line.split()) == {"train_split": "train_mini", "test_fraction": 0.5, "seed": 1}
    assert chosen("products10k", "--data_dir", "x", "--test_fraction", "0.5") == {"test_fraction": 0.5}
    assert chosen("user/name", "--dataset_config", "small", "--dataset_revision", "v1") == {
        "dataset_config": "small",
        "revision": "v1",
    }


def test_classes_are_set_aside_as_it_was_asked_for(photos: Path) -> None:
    options = read("my photos", "--test_fraction", "0.25", "--split_seed", "1")
    data = choose_data(options, options.data)
    assert data.title == "my photos"
    splits = data.load()
    labels = {name: set(split["label"][:]) for name, split in splits.items()}
    assert {name: len(found) for name, found in labels.items()} == {"train": 3, "test": 1}
    options = read("my photos", "--test_fraction", "0")
    assert {name: len(split) for name, split in choose_data(options, options.data).load().items()} == {"train": 12}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("'my photos' --min_drawings 3", "expected --min_drawings with icons only"),
        ("'my photos' --drawing_size 3", "expected --drawing_size with icons only"),
        ("'my photos' --dataset_config x", "expected --dataset_config with a data set of the Hub only"),
        ("'my photos' --dataset_revision x", "expected --dataset_revision with a data set of the Hub only"),
        ("icons --label_column sku", "expected --label_column with images of your own only"),
        ("icons --class_level 1", "expected --class_level with images of your own only"),
        ("'my photos' --test_fraction 0.5 --test_split t", "expected --test_fraction or the name of a test split"),
        ("'my photos' --test_fraction 0 --query_split q", "expected --test_fraction or the name of a test split"),
        ("'my photos' --data_dir x", "--data_dir"),
        ("icons --image_suffix .jpg", "expected --image_suffix with images of your own only"),
        ("icons --allow_outside", "expected --allow_outside with images of your own only"),
        ("sop", "expected --data_dir with sop"),
        ("sfm120k --data_dir x", "expected images with a class each; sfm120k has pairs"),
    ],
)
def test_an_option_that_means_nothing_is_refused_by_its_name(photos: Path, line: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chosen(*shlex.split(line))


@pytest.mark.parametrize("name", ["nowhere", "photos.csv", "shop", "my photos/none"])
def test_what_was_looked_for_is_said_of_a_name_that_stands_for_nothing(photos: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"expected images in '{name}'.* path.*by name.*user/name"):
        chosen(name)


def test_the_arguments_name_the_same_data_again(photos: Path) -> None:
    line = ["my photos", "--image_column", "a file", "--test_fraction", "0.25", "--split_seed", "7"]
    options = read(*line)
    again = data_arguments(options.data, options)
    assert again == [Path("my photos"), *line[1:]]
    table = ["--image_column", "id", "--image_dir", "train images", "--image_suffix", ".jpg", "--allow_outside"]
    assert data_arguments("user/name", read("user/name", *table)) == [
        "user/name",
        *table[:3],
        Path("train images"),
        *table[4:],
    ]
    assert read(*shlex.split(shlex.join(map(str, again)))) == options
    assert data_arguments("icons", read("icons")) == ["icons"]


def test_the_data_can_be_an_option() -> None:
    parser = ArgumentParser()
    add_data_options(parser, positional=False)
    assert parser.parse_args([]).data is None
    assert parser.parse_args(["--data", "photos"]).data == "photos"
