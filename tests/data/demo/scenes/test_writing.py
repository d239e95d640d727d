"""The scenes: both official formats, judgements that agree with the pixels, the same bytes each time."""

import hashlib
import importlib.util
import pickle
from pathlib import Path

import numpy as np
import pytest

from hf_vitret.data.demo.scenes import photographs
from hf_vitret.data.demo.scenes.photographs import PHOTOGRAPHS, read_photographs
from hf_vitret.data.demo.scenes.scenes import choose_scenes
from hf_vitret.data.demo.scenes.writing import write_scenes
from hf_vitret.data.landmarks.revisited import load_revisited, load_revisited_ground_truth
from hf_vitret.data.landmarks.sfm120k import load_sfm120k, load_sfm120k_pairs

SMALL = {"num_train_scenes": 3, "num_val_scenes": 1, "num_queries": 4, "views_per_scene": 6, "num_distractors": 6}


def write(folder: Path, **options: int) -> Path:
    return write_scenes(folder, **{**SMALL, "size": 64, **options})


def digest(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def scene_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("scenes"))  # an empty folder is taken


def test_training_images_and_pairs(scene_folder: Path) -> None:
    images, pairs = load_sfm120k(scene_folder, check_counts=False), load_sfm120k_pairs(scene_folder)
    assert images["train"]["label"][:] == [1] * 6 + [2] * 6 + [3] * 6
    assert images["val"]["label"][:] == [4] * 6
    assert {image.size for image in images["val"]["image"]} <= {(64, 48), (48, 64)}
    assert len(set(pairs["train"]["anchor"][:])) > 9


def test_queries_and_gallery(scene_folder: Path) -> None:
    dataset = load_revisited("scenes", scene_folder, check_counts=False)
    truth = load_revisited_ground_truth("scenes", scene_folder, check_counts=False)
    assert (len(dataset["query"]), len(dataset["gallery"])) == (4, 30)
    assert sorted(truth.gallery_ids) == list(truth.gallery_ids)
    for easy, hard, junk in zip(truth.easy, truth.hard, truth.junk):
        assert len(easy) > 0
        assert 3 < len(easy) + len(hard) + len(junk) < 15
    assert sum(map(len, truth.hard)) > 0
    assert sum(row < 6 for row in [*truth.easy[0], *truth.hard[0]]) < 4  # the order tells nothing of the scenes
    for size, (left, top, right, bottom) in zip(dataset["query"]["full_size"][:], truth.boxes):
        assert 0 <= left < right <= size[0]
        assert 0 <= top < bottom <= size[1]


def test_the_pickles_are_as_python_2_wrote_them(scene_folder: Path) -> None:
    for path in scene_folder.glob("*.pkl"):
        content = path.read_bytes()
        assert content[:2] == b"\x80\x02"
        assert b"numpy" not in content
        pickle.loads(content)


def test_judgements_hold_for_the_pixels(scene_folder: Path) -> None:
    """By correlation of small grey images, the best match of a query is one of its easy or hard images."""
    dataset = load_revisited("scenes", scene_folder, check_counts=False)
    truth = load_revisited_ground_truth("scenes", scene_folder, check_counts=False)
    hits = 0
    for query, easy, hard in zip(dataset["query"], truth.easy, truth.hard):
        pattern = _normal(query["image"].convert("L").resize((12, 12)))
        scores = [_best_match(pattern, image.convert("L")) for image in dataset["gallery"]["image"]]
        hits += int(np.argmax(scores)) in {*easy.tolist(), *hard.tolist()}
    assert hits >= 3


def _normal(image: object) -> np.ndarray:
    values = np.asarray(image, dtype=float)
    values = values - values.mean()
    return values / max(np.linalg.norm(values), 1e-9)


def _best_match(pattern: np.ndarray, image) -> float:
    """Return the best correlation of the crop with any part of the image, over a few sizes of the crop."""
    best = -1.0
    for side in (12, 16, 20, 26):
        small = image.resize((image.width * side // 64, image.height * side // 64))
        scale = 12 / (side * 0.65)
        small = image.resize((max(12, round(small.width * scale)), max(12, round(small.height * scale))))
        values = np.asarray(small, dtype=float)
        windows = np.lib.stride_tricks.sliding_window_view(values, (12, 12)).reshape(-1, 144)
        windows = windows - windows.mean(axis=1, keepdims=True)
        norms = np.maximum(np.linalg.norm(windows, axis=1), 1e-9)
        best = max(best, float((windows @ pattern.ravel() / norms).max()))
    return best


def test_the_same_seed_gives_the_same_bytes(scene_folder: Path, tmp_path: Path) -> None:
    again = write(tmp_path / "again")
    assert digest(again) == digest(scene_folder)
    assert [path.name for path in tmp_path.iterdir()] == ["again"]
    other = write(tmp_path / "other", seed=1)
    assert digest(other)["gnd_scenes.pkl"] != digest(scene_folder)["gnd_scenes.pkl"]


def test_scenes_lie_apart_inside_their_photographs() -> None:
    read = read_photographs("test")
    scenes = choose_scenes(read, 20, np.random.default_rng(0))
    for row, scene in enumerate(scenes):
        assert scene.left + scene.side <= read[scene.photograph].width
        assert scene.top + scene.side <= read[scene.photograph].height
        assert not any(map(scene.overlaps, scenes[:row]))
    assert {scene.photograph for scene in scenes} <= set(read)


def test_more_scenes_than_there_is_room_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hf_vitret.data.demo.scenes.scenes.MAX_TRIES", 300)
    with pytest.raises(
        ValueError, match=r"expected room for 99 scenes in the photographs gravel, .*, found 1.: ask for fewer"
    ):
        choose_scenes(read_photographs("val"), 99, np.random.default_rng(0))


def test_bad_arguments(scene_folder: Path) -> None:
    with pytest.raises(ValueError, match="expected a folder that does not exist or is empty"):
        write(scene_folder)
    for options in ({"num_queries": 0}, {"views_per_scene": 3}, {"size": 16}):
        with pytest.raises(ValueError, match="at least 1 scene in each split"):
            write(scene_folder / "deeper", **options)


def test_each_photograph_has_one_split_and_terms() -> None:
    assert {photograph.split for photograph in PHOTOGRAPHS.values()} == {"train", "val", "test"}
    assert len({photograph.file for photograph in PHOTOGRAPHS.values()}) == len(PHOTOGRAPHS)
    assert all(photograph.terms for photograph in PHOTOGRAPHS.values())


def test_a_package_that_is_not_there_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(photographs, "find_spec", lambda name: None if name == "sklearn" else found(name))
    with pytest.raises(
        ModuleNotFoundError, match=r"package sklearn, .* it is not installed: pip install 'hf_vitret\[demo\]'"
    ):
        read_photographs("train")
    monkeypatch.setattr(photographs, "find_spec", lambda name: found("json"))
    with pytest.raises(FileNotFoundError, match="the installed version of skimage does not ship"):
        read_photographs("val")
