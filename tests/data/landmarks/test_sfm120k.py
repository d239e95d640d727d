"""SfM-120k: the official pickles in small, paths, pairs, archives, and lists that are contradictory."""

import doctest
import io
import pickle
import tarfile
from pathlib import Path

import pytest
from datasets import Image, Value

from hf_vitret.data.landmarks import sfm120k_lists
from hf_vitret.data.landmarks.sfm120k import OFFICIAL_MODELS, load_sfm120k, load_sfm120k_pairs, load_sfm120k_whitening

TRAIN = ["0123456789abcdef", "00000000000000aa", "ffffff"]
VAL = ["1111111111111111", "2222222222222222"]
LISTS = {
    "train": {"cids": TRAIN, "cluster": [7, 7, 9], "qidxs": [0, 1, 0], "pidxs": [1, 0, 1], "ignored": [0.5]},
    "val": {"cids": VAL, "cluster": [12, 12], "qidxs": [0], "pidxs": [1]},
}
WHITEN = {"cids": [TRAIN[2], TRAIN[0]], "qidxs": [0, 1], "pidxs": [1, 0]}
PATHS = {"0123456789abcdef": "ef/cd/ab/0123456789abcdef", "ffffff": "ff/ff/ff/ffffff"}


@pytest.fixture
def folder(tmp_path: Path, draw) -> Path:
    root = tmp_path / "train" / "retrieval-SfM-120k"
    for cid in TRAIN + VAL:
        path = root / "ims" / cid[-2:] / cid[-4:-2] / cid[-6:-4] / cid
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(draw(cid, "JPEG"))
    write(root)
    (root / "retrieval-SfM-120k-whiten.pkl").write_bytes(pickle.dumps(WHITEN, protocol=2))
    return root


def write(root: Path, **changed: object) -> None:
    train = {**LISTS["train"], **changed}
    (root / "retrieval-SfM-120k.pkl").write_bytes(pickle.dumps({**LISTS, "train": train}, protocol=2))


def test_images(folder: Path) -> None:
    for place in (folder, folder.parent, folder.parent.parent):
        dataset = load_sfm120k(place, check_counts=False)
        assert {name: split["image_id"][:] for name, split in dataset.items()} == {"train": TRAIN, "val": VAL}
        assert {name: split["label"][:] for name, split in dataset.items()} == {"train": [7, 7, 9], "val": [12, 12]}
        for split in dataset.values():
            assert split.features == {"image": Image(), "label": Value("int64"), "image_id": Value("string")}
    stored = dataset["train"].cast_column("image", Image(decode=False))["image"][:]
    assert stored[0]["path"] == str(folder / "ims" / PATHS[TRAIN[0]])
    assert stored[2]["path"] == str(folder / "ims" / PATHS["ffffff"])
    assert dataset["train"][0]["image"].size == (8, 8)


def test_pairs_are_rows_of_images(folder: Path) -> None:
    pairs = load_sfm120k_pairs(folder)
    assert pairs["train"][:] == {"anchor": [0, 1, 0], "positive": [1, 0, 1]}
    assert pairs["val"][:] == {"anchor": [0], "positive": [1]}
    assert pairs["train"].features == {"anchor": Value("int64"), "positive": Value("int64")}


def test_whitening(folder: Path) -> None:
    whitening = load_sfm120k_whitening(folder)
    assert whitening["images"].column_names == ["image", "image_id"]
    assert whitening["images"]["image_id"][:] == WHITEN["cids"]
    assert whitening["images"][1]["image"].size == (8, 8)
    assert whitening["pairs"][:] == {"anchor": [0, 1], "positive": [1, 0]}


def test_the_older_layout_with_lists_in_dbs(folder: Path) -> None:
    (folder / "dbs").mkdir()
    (folder / "retrieval-SfM-120k.pkl").rename(folder / "dbs" / "retrieval-SfM-120k.pkl")
    assert load_sfm120k(folder, check_counts=False)["val"]["image_id"][:] == VAL


@pytest.mark.parametrize("top", ["", "ims/", "./"])
def test_an_archive_is_extracted_by_the_path_rule(folder: Path, top: str) -> None:
    with tarfile.open(folder / "ims.tar.gz", "w:gz") as tar:
        for path in sorted((folder / "ims").rglob("*")):
            if path.is_file():
                tar.add(path, f"{top}{path.relative_to(folder / 'ims')}")
    (folder / "ims").rename(folder / "before")
    dataset = load_sfm120k(folder, check_counts=False)
    assert dataset["train"][2]["image"].size == (8, 8)
    assert (folder / "ims" / PATHS[TRAIN[0]]).is_file()


def test_official_counts_of_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert OFFICIAL_MODELS == {"train": 551, "val": 162}
    with pytest.raises(ValueError, match=r"expected 551 3-D models in train, found 2\."):
        load_sfm120k(folder)
    monkeypatch.setitem(OFFICIAL_MODELS, "train", 2)
    with pytest.raises(ValueError, match=r"expected 162 3-D models in val, found 1\."):
        load_sfm120k(folder)
    monkeypatch.setitem(OFFICIAL_MODELS, "val", 1)
    assert len(load_sfm120k(folder)["train"]) == 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"cluster": [7, 7]}, "train: cluster: expected 3, got 2; is the file whole"),
        ({"pidxs": [1, 0]}, "train: pidxs: expected 3, got 2"),
        ({"qidxs": [0, 3, 0]}, "expected qidxs to be rows of 3 images, 0 to 2; got 3"),
        ({"pidxs": [1, -1, 1]}, "expected pidxs to be rows of 3 images, 0 to 2; got -1"),
        ({"pidxs": [1, 2, 1]}, r"two images of one 3-D model; .*: \(1, 2\)"),
        ({"pidxs": [1, 1, 1]}, r"are one image, or of two models: \(1, 1\)"),
        ({"qidxs": [], "pidxs": []}, "qidxs: expected whole numbers, at least one"),
        ({"cluster": [7.5, 7, 9]}, "cluster: expected whole numbers"),
        ({"cids": [TRAIN[0], TRAIN[0], "ffffff"]}, "expected different cids; these repeat: 0123456789abcdef"),
        ({"cids": [TRAIN[0], TRAIN[1], VAL[0]]}, "in train or in val; these are in both: 1111111111111111"),
        ({"cids": [TRAIN[0], TRAIN[1], "fff"]}, "cids of 6 characters or more .*'fff'"),
        ({"cids": [TRAIN[0], TRAIN[1], "......"]}, r"cids of 6 characters or more .*'\.\.\.\.\.\.'"),
        ({"cids": [TRAIN[0], TRAIN[1], "aa/../bb"]}, r"cids of 6 characters or more .*'aa/\.\./bb'"),
        ({"cids": [TRAIN[0], TRAIN[1], 5]}, "cids of 6 characters or more .*5"),
    ],
)
def test_contradictions_are_named(folder: Path, changed: dict[str, object], message: str) -> None:
    write(folder, **changed)
    for call in (load_sfm120k_pairs, lambda root: load_sfm120k(root, check_counts=False)):
        with pytest.raises(ValueError, match=message):
            call(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "expected a dict, got list"),
        ({"train": LISTS["train"]}, "expected train and val, got train"),
        ({**LISTS, "val": {"cids": VAL}}, "val: expected a dict with cids, cluster, qidxs, pidxs, got cids"),
        ({**LISTS, "val": None}, "got NoneType"),
        (io.StringIO, "asks for _?io.StringIO, which is no built-in"),
    ],
)
def test_other_and_hostile_pickles(folder: Path, content: object, message: str) -> None:
    (folder / "retrieval-SfM-120k.pkl").write_bytes(pickle.dumps(content, protocol=2))
    with pytest.raises(ValueError, match=message):
        load_sfm120k_pairs(folder)


def test_missing_images(folder: Path) -> None:
    (folder / "ims" / PATHS["ffffff"]).unlink()
    with pytest.raises(FileNotFoundError, match="1 of 5 images are missing: ff/ff/ff/ffffff"):
        load_sfm120k(folder, check_counts=False)
    assert len(load_sfm120k(folder, check_counts=False, check_files=False)["train"]) == 3
    with pytest.raises(FileNotFoundError, match="1 of 2 images are missing"):
        load_sfm120k_whitening(folder)
    (folder / "ims").rename(folder / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"its images are not: expected ims/ or ims\.tar\.gz beside it"):
        load_sfm120k(folder, check_counts=False)


@pytest.mark.parametrize("data_dir", [None, "nowhere"])
def test_missing_data_says_what_to_do(data_dir: str | None) -> None:
    for call in (load_sfm120k, load_sfm120k_pairs):
        with pytest.raises(FileNotFoundError, match=r"retrieval-SfM-120k\.pkl is not at .*\n.*ims\.tar\.gz"):
            call(data_dir)


def test_doctests() -> None:
    result = doctest.testmod(sfm120k_lists)
    assert result.attempted > 0
    assert result.failed == 0
