"""ROxford5k and RParis6k: the official layout in small, exact crops, truncated files, archives."""

import io
import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from datasets import DatasetDict, Image
from PIL import Image as PIL_Image

from hf_vitret.data.images import read_image
from hf_vitret.data.landmarks.revisited import load_revisited, load_revisited_ground_truth
from hf_vitret.data.landmarks.revisited_files import OFFICIAL_COUNTS

QUERIES, GALLERY = ["oxford_1", "oxford_2"], ["b_3", "a_1", "c_2"]
BOXES = [[3.5, 2.5, 20.4, 30.6], [0, 0, 48, 40]]


def encode(name: str) -> bytes:
    """Draw noise of 48 x 40 pixels as JPEG."""
    pixels = np.random.default_rng(sum(map(ord, name))).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    stream = io.BytesIO()
    PIL_Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    return stream.getvalue()


def truth(**changed: object) -> dict[str, object]:
    gnd = [{"bbx": box, "easy": [0], "hard": [], "junk": [2]} for box in BOXES]
    return {"imlist": GALLERY, "qimlist": QUERIES, "gnd": gnd, **changed}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "roxford5k"
    (root / "jpg").mkdir(parents=True)
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(truth(), protocol=2))
    for name in QUERIES + GALLERY:
        (root / "jpg" / f"{name}.jpg").write_bytes(encode(name))
    return root


def load(data_dir: object, name: str = "roxford5k", **options: object) -> DatasetDict:
    return load_revisited(name, data_dir, **{"check_counts": False, **options})


def test_queries_are_cropped_and_the_gallery_is_as_listed(folder: Path) -> None:
    for data_dir in (folder, folder.parent):
        dataset = load(data_dir)
        assert dataset["query"]["image_id"][:] == QUERIES
        assert dataset["gallery"]["image_id"][:] == GALLERY
        assert dataset["query"]["box"][:] == BOXES
        assert dataset["query"]["full_size"][:] == [[48, 40], [48, 40]]
    for row, (name, box) in enumerate(zip(QUERIES, [(4, 2, 20, 31), (0, 0, 48, 40)])):  # halves go to the even number
        left, top, right, bottom = box
        whole = np.asarray(PIL_Image.open(folder / "jpg" / f"{name}.jpg"))
        assert np.array_equal(np.asarray(dataset["query"][row]["image"]), whole[top:bottom, left:right])
    stored = dataset["gallery"].cast_column("image", Image(decode=False))[1]["image"]
    assert stored == {"bytes": None, "path": str(folder / "jpg" / "a_1.jpg")}


def test_truncated_images_are_readable_and_no_setting_is_changed(folder: Path) -> None:
    for name in (QUERIES[0], GALLERY[1]):
        path = folder / "jpg" / f"{name}.jpg"
        path.write_bytes(path.read_bytes()[:-400])
    dataset = load(folder)
    assert dataset["query"][0]["image"].size == (16, 29)
    assert dataset["gallery"][1]["image"].size == (48, 40)
    stored = dataset["gallery"].cast_column("image", Image(decode=False))[1]["image"]
    cut, whole = np.asarray(read_image(stored)), np.asarray(PIL_Image.open(io.BytesIO(encode(GALLERY[1]))))
    assert np.array_equal(cut[:8], whole[:8])
    assert not np.array_equal(cut, whole)
    with PIL_Image.open(folder / "jpg" / f"{GALLERY[1]}.jpg") as image, pytest.raises(OSError, match="truncated"):
        image.load()


def test_the_exif_rotation_does_not_move_the_box(folder: Path) -> None:
    path = folder / "jpg" / f"{QUERIES[0]}.jpg"
    with PIL_Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.save(path, quality=95, exif=exif)
    whole = np.asarray(PIL_Image.open(path))
    assert np.array_equal(np.asarray(load(folder)["query"][0]["image"]), whole[2:31, 4:20])


def test_the_converted_file_is_preferred(folder: Path) -> None:
    truth_of = load_revisited_ground_truth("roxford5k", folder, check_counts=False)
    truth_of.save(folder / "gnd_roxford5k.json")
    (folder / "gnd_roxford5k.pkl").write_bytes(b"broken")
    again = load_revisited_ground_truth("roxford5k", folder, check_counts=False)
    assert (again.query_ids, again.boxes) == (truth_of.query_ids, truth_of.boxes)
    assert load(folder)["query"]["image_id"][:] == QUERIES


@pytest.mark.parametrize("name", ["roxford5k", "rparis6k"])
def test_archives_are_flattened_into_jpg(folder: Path, name: str) -> None:
    (folder / "gnd_roxford5k.pkl").rename(folder / f"gnd_{name}.pkl")
    archives = {"roxford5k": ["oxbuild_images-v1.tgz"], "rparis6k": ["paris_1-v1.tgz", "paris_2-v1.tgz"]}[name]
    files = sorted((folder / "jpg").iterdir())
    for number, archive in enumerate(archives):
        with tarfile.open(folder / archive, "w:gz") as tar:
            for path in files[number :: len(archives)]:
                tar.add(path, f"paris/{path.name}" if name == "rparis6k" else path.name)
    for path in files:
        path.unlink()
    (folder / "jpg").rmdir()
    assert load(folder, name)["gallery"][2]["image"].size == (48, 40)
    assert sorted((folder / "jpg").iterdir()) == files


def test_an_archive_that_is_missing(folder: Path) -> None:
    (folder / "gnd_roxford5k.pkl").rename(folder / "gnd_rparis6k.pkl")
    (folder / "jpg").rename(folder / "elsewhere")
    (folder / "paris_1.tgz").touch()
    with pytest.raises(FileNotFoundError, match=r"expected jpg/ beside it, or 2 archives paris_\[12\]\*\.tgz; found 1"):
        load(folder, "rparis6k")


def test_official_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert OFFICIAL_COUNTS == {"roxford5k": (70, 4993), "rparis6k": (70, 6322)}
    for call in (load_revisited, load_revisited_ground_truth):
        with pytest.raises(ValueError, match=r"expected 70 queries and a gallery of 4,993, found 2 and 3\."):
            call("roxford5k", folder)
    monkeypatch.setitem(OFFICIAL_COUNTS, "roxford5k", (2, 3))
    assert len(load_revisited("roxford5k", folder)["gallery"]) == 3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"imlist": ["../b_3", "a_1", "c_2"]}, r"expected names of files below jpg/, got \.\./b_3"),
        ({"imlist": ["oxford_1", "a_1", "c_2"]}, "expected no query in the gallery; these are in both: oxford_1"),
        (
            {"gnd": [{**truth()["gnd"][0], "bbx": [60, 0, 70, 9]}] * 2},
            r"the box .* is outside the image of 48 x 40",
        ),
    ],
)
def test_ground_truth_that_does_not_fit(folder: Path, changed: dict[str, object], message: str) -> None:
    (folder / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(truth(**changed), protocol=2))
    with pytest.raises(ValueError, match=message):
        load(folder)


def test_images_that_are_missing_or_broken(folder: Path) -> None:
    (folder / "jpg" / "oxford_2.jpg").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"oxford_2\.jpg: this query is unreadable"):
        load(folder)
    (folder / "jpg" / "a_1.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of 5 images are missing: a_1\.jpg"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("roxford5k", FileNotFoundError, r"gnd_roxford5k\.pkl is not at data_dir=.*\n.*oxbuild_images-v1\.tgz"),
        ("scenes", FileNotFoundError, r"gnd_scenes\.pkl is not at data_dir=.*: pass the folder"),
        ("../x", ValueError, "expected a name of letters, digits and underscores"),
    ],
)
def test_missing_data_says_what_to_do(tmp_path: Path, name: str, kind: type[Exception], message: str) -> None:
    calls: list[Callable[[], object]] = [lambda: load(tmp_path, name), lambda: load(None, name)]
    for call in calls:
        with pytest.raises(kind, match=message):
            call()


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match="the known ones are roxford5k, rparis6k"):
        load_revisited("oxford5k", "nowhere")
