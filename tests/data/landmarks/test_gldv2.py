"""Google Landmarks v2: the official lists in small, paths, splits, counts, and lists that are malformed."""

import doctest
from pathlib import Path

import pytest
from datasets import Image, Value

from hf_vitret.data.landmarks import gldv2, gldv2_lists
from hf_vitret.data.landmarks.gldv2 import load_gldv2, load_gldv2_ground_truth, load_gldv2_retrieval
from hf_vitret.data.loading import load_retrieval_dataset
from hf_vitret.data.splits import choose_test_classes

A, B, C, D, E = (letter * 15 + "0" for letter in "abcde")
CLEAN = f"landmark_id,images\n1,{A} {B}\n7,{C}\n203093,{D} {E}\n"
ALL = (
    f"id,url,landmark_id\n{E},https://upload.org/e.jpg,203093\n"
    f'{A},"https://upload.org/a, ""b"".jpg",1\n{C},https://upload.org/c.jpg,7\n{B},,1\n'
)
INDEX = [f"{number:016x}" for number in range(1, 6)]
TEST = [f"f{number:015x}" for number in range(4)]
SOLUTION = (
    "id,images,Usage\n"
    f"{TEST[0]},None,Ignored\n"
    f"{TEST[1]},{INDEX[4]} {INDEX[0]},Public\n"
    f"{TEST[2]},{INDEX[2]},Private\n"
    f"{TEST[3]},,Ignored\n"
)


@pytest.fixture
def folder(tmp_path: Path, draw) -> Path:
    root = tmp_path / "gldv2"
    for name, ids in {"train": [A, B, C, D, E], "index": INDEX, "test": TEST}.items():
        for image_id in ids:
            path = root / name / image_id[0] / image_id[1] / image_id[2] / f"{image_id}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(draw(image_id, "JPEG"))
    (root / "train_clean.csv").write_text(CLEAN)
    (root / "train.csv").write_text(ALL)
    (root / "index.csv").write_text("\n".join(["id", *INDEX]) + "\n")
    (root / "retrieval_solution_v2.1.csv").write_text(SOLUTION)
    return root


def load(folder: Path, **options):
    return load_gldv2(folder, check_counts=False, **options)


def test_the_clean_training_set(folder: Path) -> None:
    dataset = load(folder, test_fraction=0)
    assert list(dataset) == ["train"]
    assert dataset["train"].features == {"image": Image(), "label": Value("int64"), "image_id": Value("string")}
    assert dataset["train"]["image_id"][:] == [A, B, C, D, E]
    assert dataset["train"]["label"][:] == [1, 1, 7, 203093, 203093]
    stored = dataset["train"].cast_column("image", Image(decode=False))["image"][:]
    assert stored[0]["path"] == str(folder / f"train/a/a/a/{A}.jpg")
    assert dataset["train"][0]["image"].size == (8, 8)


def test_the_whole_training_set_with_quoted_addresses(folder: Path) -> None:
    dataset = load(folder, clean=False, test_fraction=0)
    assert dataset["train"]["image_id"][:] == [E, A, C, B]
    assert dataset["train"]["label"][:] == [203093, 1, 7, 1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_landmarks_are_set_aside_by_the_rule_of_the_package(folder: Path, seed: int) -> None:
    dataset = load_retrieval_dataset("gldv2", folder, check_counts=False, test_fraction=0.34, split_seed=seed)
    tested = [int(name) for name in choose_test_classes(["1", "7", "203093"], 0.34, seed)]
    assert len(tested) == 1
    assert set(dataset["test"]["label"][:]) == set(tested)
    labels = dict(zip([A, B, C, D, E], [1, 1, 7, 203093, 203093], strict=True))
    assert dataset["train"]["image_id"][:] == [image for image, label in labels.items() if label not in tested]
    assert dataset["test"]["image_id"][:] == [image for image, label in labels.items() if label in tested]


def test_too_few_landmarks_for_the_default_share(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"3 classes at test_fraction=0.01 leave 3 and 0.*0 trains on all"):
        load(folder)


def test_official_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"train.csv": (4_132_914, 203_094), "train_clean.csv": (1_580_470, 81_313)}
    assert counts == gldv2.OFFICIAL_COUNTS
    with pytest.raises(ValueError, match=r"expected 1,580,470 images of 81,313 classes in train, found 5 of 3"):
        load_gldv2(folder)
    with pytest.raises(ValueError, match=r"expected 4,132,914 images of 203,094 classes in train, found 4 of 3"):
        load_gldv2(folder, clean=False)
    monkeypatch.setitem(gldv2.OFFICIAL_COUNTS, "train_clean.csv", (5, 3))
    assert len(load_gldv2(folder, test_fraction=0)["train"]) == 5


def test_the_ground_truth(folder: Path) -> None:
    truth = load_gldv2_ground_truth(folder, check_counts=False)
    assert truth.query_ids == (TEST[1], TEST[2])
    assert truth.gallery_ids == tuple(INDEX)
    assert [rows.tolist() for rows in truth.positives] == [[0, 4], [2]]
    assert truth.usages == ("Public", "Private")
    assert truth.ignored_ids == (TEST[0], TEST[3])


def test_the_images_of_the_retrieval_task_are_the_rows_of_the_ground_truth(folder: Path) -> None:
    dataset = load_gldv2_retrieval(folder, check_counts=False)
    truth = load_gldv2_ground_truth(folder, check_counts=False)
    assert {name: tuple(split["image_id"][:]) for name, split in dataset.items()} == {
        "query": truth.query_ids,
        "gallery": truth.gallery_ids,
    }
    assert dataset["query"].features == {"image": Image(), "image_id": Value("string")}
    stored = dataset["gallery"].cast_column("image", Image(decode=False))["image"][:]
    assert stored[0]["path"] == str(folder / f"index/0/0/0/{INDEX[0]}.jpg")
    assert dataset["query"][0]["image"].size == (8, 8)


def test_the_folders_of_the_official_addresses(folder: Path) -> None:
    for name, place in {"train_clean.csv": "metadata", "index.csv": "metadata"}.items():
        (folder / place).mkdir(exist_ok=True)
        (folder / name).rename(folder / place / name)
    (folder / "ground_truth").mkdir()
    (folder / "retrieval_solution_v2.1.csv").rename(folder / "ground_truth/retrieval_solution_v2.1.csv")
    assert len(load(folder, test_fraction=0)["train"]) == 5
    assert len(load_gldv2_retrieval(folder, check_counts=False)["gallery"]) == 5


def test_official_counts_of_the_retrieval_task(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert gldv2.OFFICIAL_RETRIEVAL == {"query": 1_129, "gallery": 761_757}
    for function in (load_gldv2_ground_truth, load_gldv2_retrieval):
        with pytest.raises(ValueError, match=r"expected 1,129 queries .* 761,757 images, found 2 and 5\."):
            function(folder)
    monkeypatch.setattr(gldv2, "OFFICIAL_RETRIEVAL", {"query": 2, "gallery": 5})
    assert len(load_gldv2_retrieval(folder)["query"]) == 2


def test_a_cell_above_the_limit_of_the_csv_module(folder: Path) -> None:
    ids = [f"{number:016x}" for number in range(20_000)]  # 340 kB
    (folder / "train_clean.csv").write_text(f"landmark_id,images\n1,{' '.join(ids)}\n2,{A}\n")
    dataset = load(folder, test_fraction=0, check_files=False)
    assert dataset["train"]["label"][:] == [1] * 20_000 + [2]


def test_ends_of_lines_and_a_byte_order_mark(folder: Path) -> None:
    text = CLEAN.replace(f"{C}\n", f"{C} \n").replace("\n", "\r\n") + "\r\n"
    (folder / "train_clean.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert load(folder, test_fraction=0)["train"]["image_id"][:] == [A, B, C, D, E]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected the header 'landmark_id,images' or 'id,url,landmark_id', got 'an empty file'"),
        ("id,landmark_id\n", "line 1: expected the header .*, got 'id,landmark_id'"),
        ("landmark_id,images\n", "expected images, found the header alone"),
        (f"landmark_id,images\n1,{A}\nx,{B}\n", "line 3: expected a landmark_id, a whole number; got 'x'"),
        (f"landmark_id,images\n-1,{A}\n", "line 2: expected a landmark_id, a whole number; got '-1'"),
        ("landmark_id,images\n1,\n", "line 2: expected ids of 16 letters and digits, separated by one space; got ''"),
        (f"landmark_id,images\n1,{A}  {B}\n", "line 2: expected ids .*; got ''"),
        (f"landmark_id,images\n1,{A[:-1]}\n", "line 2: expected ids of 16 letters and digits.*aaaaaaaaaaaaaaa'"),
        ("landmark_id,images\n1,../../aaaaaaaaaa\n", r"line 2: expected ids of 16 letters .*'\.\./\.\./aaaaaaaaaa'"),
        (f"landmark_id,images\n1,{A} {A}\n", f"line 2: expected each image once; these are there again: {A}"),
        (f"landmark_id,images\n1,{A}\n2,{B} {A}\n", f"line 3: expected each image once; .* again: {A}"),
        (f"id,url,landmark_id\n{A},x,1\n{A},x,1\n", f"line 3: expected each image once; .* again: {A}"),
        (f"id,url,landmark_id\n{A}\n", "line 2: expected a landmark_id, a whole number; got ''"),
        (f"id,url,landmark_id\n{A},x,1.5\n", "line 2: expected a landmark_id, a whole number; got '1.5'"),
    ],
)
def test_malformed_training_lists_are_named(folder: Path, text: str, message: str) -> None:
    (folder / "train_clean.csv").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        load(folder)
    assert str(folder / "train_clean.csv") in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("index.csv", "", "line 1: expected the header 'id', got 'an empty file'"),
        ("index.csv", "id\n", "expected images, found none that count|expected images of index.csv"),
        ("index.csv", f"id\n{INDEX[0]}\n{INDEX[0]}\n", f"line 3: expected each image once; {INDEX[0]} is there again"),
        ("index.csv", f"id\n{INDEX[0]},5\n", "line 2: expected ids of 16 letters"),
        ("index.csv", f"id\n{INDEX[0]}\n", f"line 3: expected images of index.csv; these are not: {INDEX[4]}"),
        ("solution", "id,landmarks,Usage\n", "line 1: expected the header 'id,images,Usage', got 'id,landmarks,Usage'"),
        ("solution", "id,images,Usage\n", "expected images, found none that count"),
        ("solution", f"id,images,Usage\n{TEST[0]},None,Ignored\n", "expected images, found none that count"),
        ("solution", f"id,images,Usage\n{TEST[0]},{INDEX[0]}\n", "line 2: expected an id, images and Public, Private"),
        ("solution", f"id,images,Usage\n{TEST[0]},{INDEX[0]},Other\n", "line 2: expected .* or Ignored; got"),
        ("solution", f"id,images,Usage\n{TEST[0]},None,Public\n", "of a query that is not Ignored, got 'None'"),
        ("solution", f"id,images,Usage\n{TEST[0]},,Private\n", "of a query that is not Ignored, got ''"),
        (
            "solution",
            f"id,images,Usage\n{TEST[0]},{INDEX[0]} {INDEX[0]},Public\n",
            "different images, got 1 of them",
        ),
        ("solution", SOLUTION + f"{TEST[1]},{INDEX[0]},Public\n", f"line 6: .*; {TEST[1]} is in a line before too"),
        ("solution", SOLUTION + f"{INDEX[1]},{INDEX[0]},Public\n", f"line 6: .*; {INDEX[1]} is in the index too"),
    ],
)
def test_contradictory_solutions_are_named(folder: Path, name: str, text: str, message: str) -> None:
    (folder / ("retrieval_solution_v2.1.csv" if name == "solution" else name)).write_text(text)
    with pytest.raises(ValueError, match=message):
        load_gldv2_ground_truth(folder, check_counts=False)


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "train_clean.csv").write_bytes(b"landmark_id,images\n1,\xff\xfe\n")
    with pytest.raises(ValueError, match=r"train_clean.csv is not text in UTF-8"):
        load(folder)


def test_what_is_missing_is_said(folder: Path) -> None:
    for data_dir in (None, folder / "nowhere"):
        with pytest.raises(FileNotFoundError, match=r"train_clean.csv is not at data_dir=.*metadata/train_clean.csv\n"):
            load_gldv2(data_dir)
    (folder / "train" / "a" / "a" / "a" / f"{A}.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=rf"1 of 5 images are missing: a/a/a/{A}.jpg"):
        load(folder, test_fraction=0)
    assert len(load(folder, test_fraction=0, check_files=False)["train"]) == 5
    (folder / "test").rename(folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"its images are not: expected .*test with the folders 0 to f"):
        load_gldv2_retrieval(folder, check_counts=False)
    (folder / "retrieval_solution_v2.1.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"ground_truth/retrieval_solution_v2.1.csv"):
        load_gldv2_ground_truth(folder)


def test_examples() -> None:
    result = doctest.testmod(gldv2_lists)
    assert (result.attempted, result.failed) == (1, 0)
