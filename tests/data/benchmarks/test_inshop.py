"""In-Shop: the official format in small, with its padding, as folders and as archives."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from datasets import DatasetDict, Image, Value

from hf_vitret.data import load_retrieval_dataset
from hf_vitret.data.benchmarks.inshop import OFFICIAL_COUNTS

ROWS = [
    ("img/WOMEN/Blouses_Shirts/id_00000001/02_1_front.jpg", "id_00000001", "train"),
    ("img/WOMEN/Blouses_Shirts/id_00000001/02_2_side.jpg", "id_00000001", "train"),
    ("img/MEN/Denim/id_00000080/01_1_front.jpg", "id_00000080", "query"),
    ("img/MEN/Denim/id_00000080/01_7_additional.jpg", "id_00000080", "gallery"),
    ("img/WOMEN/Dresses/id_00000002/02_1_front.jpg", "id_00000002", "query"),
    ("img/WOMEN/Dresses/id_00000002/02_2_side.jpg", "id_00000002", "gallery"),
    ("img/WOMEN/Dresses/id_00000002/02_4_full.jpg", "id_00000002", "gallery"),
]
HEADER = "image_name item_id evaluation_status"
Write = Callable[..., Path]


def table(rows: list[tuple[str, str, str]] = ROWS, count: int | None = None, header: str = HEADER) -> str:
    """Write the list in the published format: columns padded with spaces, and a space at the end of each line."""
    lines = [f"{path:<80}{item:<15}{status:<8}" for path, item, status in rows]
    return "\n".join([str(len(rows) if count is None else count), header, *lines]) + "\n"


@pytest.fixture
def write_inshop(tmp_path: Path, write_images: Callable[[Path, list[str]], Path]) -> Write:
    def write(content: str | None = None, eval_folder: str = "Eval", image_folder: str = "Img") -> Path:
        folder = tmp_path / "In-shop Clothes Retrieval Benchmark"
        write_images(folder / image_folder, [path for path, _, _ in ROWS])
        (folder / eval_folder).mkdir(exist_ok=True)
        (folder / eval_folder / "list_eval_partition.txt").write_text(table() if content is None else content)
        return folder

    return write


def zip_images(folder: Path, name: str) -> None:
    """Replace the images of `Img/img` by an archive that holds them in a folder of the archive's name."""
    with zipfile.ZipFile(folder / "Img" / f"{name}.zip", "w") as archive:
        for path, _, _ in ROWS:
            archive.write(folder / "Img" / path, name + path.removeprefix("img"))
            (folder / "Img" / path).unlink()
    for part in sorted((folder / "Img" / "img").rglob("*"), reverse=True):
        part.rmdir()
    (folder / "Img" / "img").rmdir()


def load(data_dir: object, **options: object) -> DatasetDict:
    return load_retrieval_dataset("inshop", data_dir=data_dir, **{"check_counts": False, **options})


def check(dataset: DatasetDict) -> None:
    assert {name: split["label"][:] for name, split in dataset.items()} == {
        "train": [1, 1],
        "query": [80, 2],
        "gallery": [80, 2, 2],
    }
    for name, split in dataset.items():
        assert split["image_id"][:] == [path for path, _, status in ROWS if status == name]
        assert split.features == {"image": Image(), "label": Value("int64"), "image_id": Value("string")}
        assert split[0]["image"].size == (8, 8)


@pytest.mark.parametrize(("eval_folder", "image_folder"), [("Eval", "Img"), (".", "."), (".", "Img"), ("Eval", ".")])
def test_folders(write_inshop: Write, eval_folder: str, image_folder: str) -> None:
    folder = write_inshop(eval_folder=eval_folder, image_folder=image_folder)
    check(load(folder))
    check(load(folder.parent))
    if eval_folder == "Eval":
        check(load(folder / "Eval"))


@pytest.mark.parametrize("name", ["img", "img_highres"])
def test_an_archive_of_images_is_extracted_beside_itself(write_inshop: Write, name: str) -> None:
    folder = write_inshop()
    zip_images(folder, name)
    check(load(folder))
    (folder / "Img" / f"{name}.zip").unlink()
    check(load(folder))


def test_official_counts_are_checked(write_inshop: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_inshop()
    assert OFFICIAL_COUNTS == {"train": (25882, 3997), "query": (14218, 3985), "gallery": (12612, 3985)}
    with pytest.raises(ValueError, match=r"expected 25,882 images of 3,997 classes in train, found 2 of 1\."):
        load(folder, check_counts=True)
    for split, counts in (("train", (2, 1)), ("query", (2, 2)), ("gallery", (3, 2))):
        monkeypatch.setitem(OFFICIAL_COUNTS, split, counts)
    check(load(folder, check_counts=True))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (table(count=8), r"line 1 gives 8 images, the list has 7"),
        (table(header="image item status"), r"expected the number of images in line 1 and .* got '7' and 'image item"),
        ("", r"got '' and ''"),
        (table([*ROWS, ("img/a.jpg", "00000003", "train")]), r"line 10: expected 'img/\.\.\. id_<number> train"),
        (table([*ROWS, ("img/a.jpg", "id_00000003", "test")]), r"line 10: expected"),
        (table([*ROWS, ("img/../../a.jpg", "id_00000003", "train")]), r"line 10: expected"),
        (table([*ROWS, ("img/a b.jpg", "id_00000003", "train")]), r"line 10: expected"),
        (table([*ROWS, ("img/a.jpg", "id_00000002", "train")]), r"no class between train and query or gallery.*: 2;"),
    ],
)
def test_malformed_lists_are_named(write_inshop: Write, content: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load(write_inshop(content))


def test_a_query_without_its_item_in_the_gallery(write_inshop: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_inshop(table([*ROWS[:3], *ROWS[4:]]))
    for split, counts in (("train", (2, 1)), ("query", (2, 2)), ("gallery", (2, 1))):
        monkeypatch.setitem(OFFICIAL_COUNTS, split, counts)
    with pytest.raises(ValueError, match="1 items of the queries are not in the gallery"):
        load(folder, check_counts=True)


def test_missing_images_are_named(write_inshop: Write) -> None:
    folder = write_inshop()
    (folder / "Img" / ROWS[1][0]).unlink()
    with pytest.raises(FileNotFoundError, match=rf"1 of 7 images are missing: {ROWS[1][0]}"):
        load(folder)
    with pytest.raises(FileNotFoundError, match="has the list and no images"):
        load(write_inshop_list_alone(folder))


def write_inshop_list_alone(folder: Path) -> Path:
    alone = folder.parent / "alone"
    alone.mkdir()
    (alone / "list_eval_partition.txt").write_text(table())
    return alone


@pytest.mark.parametrize("data_dir", [None, "nowhere"])
def test_missing_data_says_what_to_do(data_dir: str | None) -> None:
    with pytest.raises(FileNotFoundError, match=r"InShopRetrieval.*\n.*list_eval_partition\.txt.*\n.*hf-vitret demo"):
        load(data_dir)
