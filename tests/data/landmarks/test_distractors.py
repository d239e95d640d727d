"""The distractors: a stream in the order of the archives, divided by archive, that continues where it stopped."""

import io
import tarfile
from pathlib import Path

import pytest
from datasets import Image, IterableDataset, Value
from datasets.distributed import split_dataset_by_node

from hf_vitret.data.landmarks.distractors import stream_distractors

NAMES = {1: ["0/b.jpg", "0/a.jpg"], 2: ["1/c.jpg"], 10: ["2/d.jpg", "2/e.jpg", "2/f.jpg"]}


@pytest.fixture
def folder(tmp_path: Path, draw) -> Path:
    (tmp_path / "jpg").mkdir()
    for number, names in NAMES.items():
        write_tar(tmp_path, number, {name: draw(name, "JPEG") for name in names})
    return tmp_path


def write_tar(folder: Path, number: int, files: dict[str, bytes]) -> Path:
    path = folder / "jpg" / f"revisitop1m.{number}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def stream(folder: Path) -> IterableDataset:
    return stream_distractors(folder, check_counts=False)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def ids(dataset: IterableDataset) -> list[str]:
    return [example["image_id"] for example in dataset]


def test_in_the_order_of_the_numbers(folder: Path) -> None:
    before = files(folder)
    for place in (folder, folder / "jpg"):
        dataset = stream(place)
        assert ids(dataset) == [name for names in NAMES.values() for name in names]
        assert dataset.features == {"image": Image(), "image_id": Value("string")}
        assert dataset.num_shards == 3
    assert next(iter(dataset))["image"].size == (8, 8)
    assert files(folder) == before  # nothing is unpacked, nor cached


def test_shared_out_by_archive(folder: Path) -> None:
    parts = [ids(split_dataset_by_node(stream(folder), rank=rank, world_size=3)) for rank in range(3)]
    assert parts == list(NAMES.values())


@pytest.mark.parametrize("read", [1, 2, 4])
def test_goes_on_where_it_stopped(folder: Path, read: int) -> None:
    dataset = stream(folder)
    examples = iter(dataset)
    first = [next(examples)["image_id"] for _ in range(read)]
    again = stream(folder)
    again.load_state_dict(dataset.state_dict())
    assert first + ids(again) == [name for names in NAMES.values() for name in names]


def test_rows_of_the_official_list(folder: Path) -> None:
    order = ["2/f.jpg", "0/a.jpg", "0/b.jpg", "1/c.jpg", "2/e.jpg", "2/d.jpg"]
    (folder / "revisitop1m.txt").write_text("\n".join(order) + "\n")
    dataset = stream(folder)
    assert dataset.features["row"] == Value("int64")
    assert [(example["image_id"], example["row"]) for example in dataset] == [
        (name, order.index(name)) for names in NAMES.values() for name in names
    ]
    (folder / "revisitop1m.txt").write_text("\n".join(order[1:]))
    with pytest.raises(ValueError, match=r"revisitop1m\.10\.tar\.gz has the image '2/f\.jpg', which is not in"):
        list(stream(folder))


def test_a_truncated_image_is_readable(folder: Path, draw) -> None:
    write_tar(folder, 2, {"1/c.jpg": draw("c", "JPEG")[:-3]})
    assert list(stream(folder))[2]["image"].convert("L").size == (8, 8)


def test_unsafe_and_damaged_archives(folder: Path, draw) -> None:
    path = write_tar(folder, 2, {"../c.jpg": draw("c", "JPEG")})
    with pytest.raises(ValueError, match=r"revisitop1m\.2\.tar\.gz has a member that would land outside its folder"):
        list(stream(folder))
    path.write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"revisitop1m\.2\.tar\.gz is no tar archive, or is damaged"):
        list(stream(folder))


def test_archives_that_are_missing(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(FileNotFoundError, match=r"97 of 100 archives are missing: numbers 3, 4, 5, 6, 7, 8, 9, 11"):
        stream_distractors(folder)
    with pytest.raises(FileNotFoundError, match=r"expected revisitop1m\.<number>\.tar\.gz in .*, found none"):
        stream_distractors(tmp_path_factory.mktemp("empty"))
