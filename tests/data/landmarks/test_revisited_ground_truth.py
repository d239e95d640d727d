"""The ground truth of revisited data sets: the official pickle, the JSON file made from it, and what is refused."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from hf_vitret.data.landmarks.revisited_ground_truth import RevisitedGroundTruth

GND = [
    {"bbx": [136.5, 34.1, 648.5, 955.7], "easy": np.array([3, 0]), "hard": np.array([1]), "junk": np.array([])},
    {"bbx": np.array([0.1, 0.2, 7.3, 9.9]), "easy": [], "hard": [], "junk": [4, 2]},
]
OFFICIAL = {"imlist": ["a", "b", "c", "d", "e"], "qimlist": ["p", "q"], "gnd": GND}


def write(folder: Path, content: object, protocol: int = 2) -> Path:
    path = folder / "gnd_roxford5k.pkl"
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


def parts(**changed: object) -> dict[str, object]:
    plain = {
        "query_ids": ["p", "q"],
        "gallery_ids": ["a", "b", "c", "d", "e"],
        "boxes": [(0, 0, 2, 2), (1, 1, 3, 4)],
        "easy": [[3, 0], []],
        "hard": [[1], []],
        "junk": [[], [4, 2]],
    }
    return {**plain, **changed}


def check(truth: RevisitedGroundTruth) -> None:
    assert truth.query_ids == ("p", "q")
    assert truth.gallery_ids == ("a", "b", "c", "d", "e")
    assert truth.boxes == ((136.5, 34.1, 648.5, 955.7), (0.1, 0.2, 7.3, 9.9))
    found = [[rows.tolist() for rows in getattr(truth, name)] for name in ("easy", "hard", "junk")]
    assert found == [[[3, 0], []], [[1], []], [[], [4, 2]]]
    for name in ("easy", "hard", "junk"):
        assert all(rows.dtype == np.int64 and not rows.flags.writeable for rows in getattr(truth, name))


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_the_official_pickle_and_back_from_json(tmp_path: Path, protocol: int) -> None:
    truth = RevisitedGroundTruth.from_pickle(write(tmp_path, OFFICIAL, protocol))
    check(truth)
    truth.save(tmp_path / "gnd.json")
    check(RevisitedGroundTruth.load(tmp_path / "gnd.json"))
    assert [path.name for path in tmp_path.glob("*gnd.json")] == ["gnd.json"]


def test_a_pickle_of_python_2(tmp_path: Path) -> None:
    entry = b"(dS'bbx'\n(lF0.5\naF0\naF2\naF2\nasS'easy'\n(lI0\nasS'hard'\n(lsS'junk'\n(ls"
    names = b"S'imlist'\n(lS'all_souls_000013'\nasS'qimlist'\n(lS'q'\nas"
    (tmp_path / "old.pkl").write_bytes(b"(d" + names + b"S'gnd'\n(l" + entry + b"as.")
    truth = RevisitedGroundTruth.from_pickle(tmp_path / "old.pkl")
    assert (truth.gallery_ids, truth.boxes, truth.easy[0].tolist()) == (
        ("all_souls_000013",),
        ((0.5, 0, 2, 2),),
        [0],
    )


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (Path("harmed"),)


def test_a_hostile_pickle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="refused, and nothing was run"):
        RevisitedGroundTruth.from_pickle(write(tmp_path, {**OFFICIAL, "extra": Hostile()}))
    assert not Path("harmed").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "expected a dict with imlist, qimlist, gnd, got list"),
        ({"imlist": ["a"]}, "got a dict with imlist; use the revisited file"),
        ({**OFFICIAL, "gnd": [{"bbx": [0, 0, 1, 1], "ok": [], "junk": []}] * 2}, "of query 0, got bbx, ok, junk"),
        ({**OFFICIAL, "gnd": GND[:1]}, "expected boxes of each of the 2 queries, got 1"),
        ({**OFFICIAL, "imlist": 5}, "not iterable"),
    ],
)
def test_pickles_of_another_layout(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RevisitedGroundTruth.from_pickle(write(tmp_path, content))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"easy": [[3, 0]]}, "expected easy of each of the 2 queries, got 1"),
        ({"easy": [[3, 5], []]}, r"query 'p': expected rows of a gallery of 5, 0 to 4; got 5"),
        ({"hard": [[-1], []]}, r"query 'p': .*got -1"),
        ({"hard": [[3], []]}, r"query 'p': expected each row once, in easy, hard or junk; .*: 3"),
        ({"junk": [[], [4, 4]]}, r"query 'q': .*twice: 4"),
        ({"easy": [[0.5], []]}, r"query 'p': expected easy as a list of rows, got float64"),
        ({"easy": [[[0]], []]}, r"got int64 of shape \(1, 1\)"),
        ({"query_ids": ["p", "p"]}, "expected different query_ids, but these repeat: p"),
        ({"gallery_ids": []}, "expected gallery_ids as text, at least one; got none"),
        ({"gallery_ids": ["a", 1]}, "got 1"),
        ({"boxes": [(0, 0, 2, 2), (3, 1, 3, 4)]}, r"query 'q': expected a box of left < right"),
        ({"boxes": [(0, 0, 2), (1, 1, 3, 4)]}, r"query 'p': expected a box"),
        ({"boxes": [(0, 0, 2, float("nan")), (1, 1, 3, 4)]}, r"query 'p': expected a box"),
    ],
)
def test_contradictions_are_named(changed: dict[str, object], message: str) -> None:
    RevisitedGroundTruth(**parts())
    with pytest.raises(ValueError, match=message):
        RevisitedGroundTruth(**parts(**changed))


def test_json_that_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "gnd.json"
    RevisitedGroundTruth(**parts()).save(path)
    whole = json.loads(path.read_text())
    for content, message in (
        (path.read_text()[:-20], r"gnd\.json is no JSON, or is cut off"),
        (json.dumps({**whole, "format": 2}), "expected format 1 with query_ids, gallery_ids"),
        (json.dumps({key: whole[key] for key in whole if key != "junk"}), "expected format 1"),
        (json.dumps({**whole, "easy": [[9], []]}), r"gnd\.json: query 'p': expected rows"),
    ):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            RevisitedGroundTruth.load(path)
    with pytest.raises(FileNotFoundError):
        RevisitedGroundTruth.load(tmp_path / "none.json")
