"""The card of a prepared data set agrees with the data, and its code runs."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from datasets import ClassLabel, Dataset, Features, Image, Value, load_dataset
from huggingface_hub import DatasetCard

from hf_vitret.data.preparation.prepare import prepare_dataset
from hf_vitret.data.preparation.row_source import RowSource
from hf_vitret.hub.dataset_card import SIZES, write_dataset_card
from tests.data.test_readable_images import cut_jpeg
from tests.training.runs import draw

SIZE = {"train": 30, "query": 4, "gallery": 9}
NAMES = ["cup: blue", "yes", "1e3", "ваза"]  # names that YAML reads as other types unless they are quoted


def make_split(name: str, size: int, label: object) -> Dataset:
    rows = {
        "image": [draw(number % 4, number) for number in range(size)],
        "label": [number % (4 if size > 4 else 3) for number in range(size)],
        "image_id": [f"{name}/{number}" for number in range(size)],
    }
    return Dataset.from_dict(rows, features=Features(image=Image(), label=label, image_id=Value("string")))


def prepare(folder: Path, label: object = None, **settings: object) -> Path:
    label = label or ClassLabel(names=NAMES)
    dataset = {name: make_split(name, size, label) for name, size in SIZE.items()}
    return prepare_dataset(dataset, folder, **{"short_side": 16, "progress": False, "source": "ada/shapes", **settings})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = prepare(tmp_path_factory.mktemp("card") / "shapes-16")
    write_dataset_card(made, title="Formen: «bunt»", license="cc-by-4.0")
    return made


def test_the_header_is_what_load_dataset_reads(folder: Path) -> None:
    data = DatasetCard.load(folder / "README.md").data
    assert data.license == "cc-by-4.0"
    assert data.pretty_name == "Formen: «bunt»"
    assert data.size_categories == ["n<1K"]
    assert data.configs[0]["data_files"] == [{"split": name, "path": f"data/{name}-*"} for name in SIZE]
    assert {split["name"]: split["num_examples"] for split in data.dataset_info["splits"]} == SIZE
    assert data.dataset_info["download_size"] == sum(path.stat().st_size for path in (folder / "data").iterdir())
    loaded = load_dataset(str(folder))
    assert {name: len(split) for name, split in loaded.items()} == SIZE
    for split in loaded.values():
        assert split.features == Features(image=Image(), label=ClassLabel(names=NAMES), image_id=Value("string"))


def test_a_stream_knows_from_it_how_long_it_is(folder: Path) -> None:
    streams = load_dataset(str(folder), streaming=True)
    assert {name: RowSource(split, name).expected_rows for name, split in streams.items()} == SIZE
    assert {RowSource(split, name).num_rows for name, split in streams.items()} == {None}


def test_a_shard_that_is_missing_is_noticed_when_it_is_loaded(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    table = Dataset.from_parquet(str(copy / "data" / "train-00000-of-00001.parquet"))
    table.select(range(29)).to_parquet(copy / "data" / "train-00000-of-00001.parquet")
    with pytest.raises(Exception, match=r"expected.*30.*recorded.*29"):
        load_dataset(str(copy))


def test_every_number_is_one_of_the_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "prepare.json").read_text())
    text = DatasetCard.load(folder / "README.md").text
    rows = [line for line in text.splitlines() if line.startswith(("| train", "| query", "| gallery"))]
    for row in rows:
        name, *cells = [cell.strip() for cell in row.split("|")[1:-1]]
        split = manifest["splits"][name]
        spread = [split[f"{which}_images_per_class"] for which in ("min", "median", "max")]
        assert cells[:2] == [str(split["num_images"]), str(split["num_classes"])]
        assert cells[2] == ", ".join(f"{number:g}" for number in spread)
        assert cells[3] == str(split["num_single_image_classes"])
    assert len(rows) == 3
    num_bytes = sum(file["num_bytes"] for file in manifest["files"].values())
    assert f"{sum(SIZE.values())} labelled images for image retrieval" in text
    assert "short side of each image at 16 pixels" in text
    assert "JPEG of quality 90, RGB" in text
    assert f"The data are {num_bytes} bytes in 3 Parquet files" in text
    assert "This data set is a copy of ada/shapes with smaller images" in text
    assert "Licence: cc-by-4.0." in text
    assert str(folder.parent) not in text


def test_tables_are_blocks(folder: Path) -> None:
    lines = ["", *DatasetCard.load(folder / "README.md").text.splitlines(), ""]
    for number, line in enumerate(lines):
        if line.startswith("|"):
            assert lines[number - 1] == "" or lines[number - 1].count("|") == line.count("|"), line
            assert lines[number + 1] == "" or lines[number + 1].count("|") == line.count("|"), line


@pytest.mark.parametrize(
    ("license", "header", "sentence"),
    [
        ("", None, "No licence is stated. The licence of the source applies"),
        ("For research only, see the authors' page.", "other", "Licence: For research only, see the authors' page.\n"),
    ],
)
def test_licences_as_given(tmp_path: Path, license: str, header: str | None, sentence: str) -> None:
    write_dataset_card(prepare(tmp_path / "out"), title="x", license=license)
    card = DatasetCard.load(tmp_path / "out" / "README.md")
    assert card.data.license == header
    assert sentence in card.text + "\n"


def test_images_left_out_and_numbers_as_labels(tmp_path: Path) -> None:
    def spoil(row: dict, number: int) -> dict:
        return {**row, "image": {"bytes": b"gone" if number < 2 else row["image"]["bytes"], "path": None}}

    raw = make_split("train", 30, Value("int64")).cast_column("image", Image(decode=False))
    spoiled = raw.map(spoil, with_indices=True).cast_column("image", Image())
    settings = {"short_side": 16, "on_bad_image": "skip", "image_format": "png", "progress": False}
    prepare_dataset({"train": spoiled}, tmp_path / "out", **settings)
    card = DatasetCard.load(write_dataset_card(tmp_path / "out", title="x"))
    assert "Of the 30 images of train, 2 could not be read and are left out" in card.text
    assert "| `image` | PNG, RGB" in card.text
    assert "| `label` | the number of the class |" in card.text
    assert "The source is not stated." in card.text
    assert len(load_dataset(str(tmp_path / "out"))["train"]) == 28


def test_completed_images_are_counted(tmp_path: Path) -> None:
    raw = make_split("train", 30, Value("int64")).cast_column("image", Image(decode=False)).to_list()
    raw[3]["image"] = {"bytes": cut_jpeg(0, 300), "path": None}
    split = Dataset.from_list(raw, features=make_split("train", 1, Value("int64")).features)
    prepare_dataset({"train": split}, tmp_path / "out", short_side=16, on_bad_image="mend", progress=False)
    card = DatasetCard.load(write_dataset_card(tmp_path / "out", title="x"))
    assert "\n\n1 truncated JPEG files of train were completed, and are grey where nothing is left" in card.text
    assert "could not be read" not in card.text


def code_of(folder: Path) -> list[str]:
    """Return the Python programs in a card, each of which defines `dataset`."""
    return re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL)


def test_the_code_in_the_card_runs(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / folder.name)
    assert len(code_of(folder)) == 2
    for code in code_of(folder):
        code += "\nassert {name: len(split) for name, split in dataset.items()} == " + repr(SIZE)
        result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr


def test_size_classes() -> None:
    assert [next(name for least, name in SIZES.items() if size >= least) for size in (0, 999, 1000, 120_053)] == [
        "n<1K",
        "n<1K",
        "1K<n<10K",
        "100K<n<1M",
    ]


def test_a_folder_that_is_not_prepared(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="is not a prepared data set"):
        write_dataset_card(tmp_path, title="x")
