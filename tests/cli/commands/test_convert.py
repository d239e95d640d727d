"""`hf-vitret convert`: pickles once, JSON from then on, the same data."""

import json
import pickle
from pathlib import Path

import pytest

from hf_vitret.cli.main import main
from hf_vitret.data.landmarks.revisited import load_revisited_ground_truth
from hf_vitret.data.landmarks.sfm120k import load_sfm120k_pairs
from hf_vitret.data.landmarks.sfm120k_lists import read_lists

LISTS = {
    split: {
        "cids": [f"{split}{number:06}" for number in range(3)],
        "cluster": [4, 4, 4],
        "qidxs": [0, 2],
        "pidxs": [1, 0],
    }
    for split in ("train", "val")
}
WHITEN = {"cids": ["train000001", "other000001"], "qidxs": [0], "pidxs": [1]}
TRUTH = {
    "imlist": ["a", "b"],
    "qimlist": ["q"],
    "gnd": [{"bbx": [0.1, 0.2, 3.3, 4.7], "easy": [1], "hard": [], "junk": [0]}],
}


def write(path: Path, content: object) -> None:
    path.write_bytes(pickle.dumps(content, protocol=2))


@pytest.mark.parametrize("name", ["rparis6k", "scenes"])
def test_ground_truth_of_a_revisited_set(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    write(tmp_path / f"gnd_{name}.pkl", TRUTH)
    (tmp_path / f"gnd_{name}.json").write_text("an older one")
    assert main(["convert", name, "--data_dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"Wrote        {tmp_path}/gnd_{name}.json\n"
    (tmp_path / f"gnd_{name}.pkl").unlink()
    truth = load_revisited_ground_truth(name, tmp_path, check_counts=False)
    assert (truth.gallery_ids, truth.boxes) == (("a", "b"), ((0.1, 0.2, 3.3, 4.7),))
    assert [truth.easy[0].tolist(), truth.hard[0].tolist(), truth.junk[0].tolist()] == [[1], [], [0]]


def test_lists_of_sfm120k(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "retrieval-SfM-120k.pkl", LISTS)
    write(tmp_path / "retrieval-SfM-120k-whiten.pkl", WHITEN)
    before = load_sfm120k_pairs(tmp_path)
    assert main(["convert", "sfm120k", "--data_dir", str(tmp_path), "--json"]) == 0
    names = ("retrieval-SfM-120k.json", "retrieval-SfM-120k-whiten.json")
    assert json.loads(capsys.readouterr().out) == {"files": [str(tmp_path / name) for name in names]}
    assert json.loads((tmp_path / "retrieval-SfM-120k.json").read_text()) == LISTS
    assert json.loads((tmp_path / "retrieval-SfM-120k-whiten.json").read_text()) == WHITEN
    for pickled in tmp_path.glob("*.pkl"):
        pickled.unlink()
    after = load_sfm120k_pairs(tmp_path)
    assert {name: split[:] for name, split in before.items()} == {name: split[:] for name, split in after.items()}
    (tmp_path / "retrieval-SfM-120k.json").write_text('{"train": ')
    with pytest.raises(ValueError, match="is no JSON, or is cut off"):
        read_lists(tmp_path / "retrieval-SfM-120k.json")


def test_what_is_missing_or_hostile_is_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("sfm120k", "roxford5k"):
        assert main(["convert", name, "--data_dir", str(tmp_path)]) == 2
    write(tmp_path / "gnd_roxford5k.pkl", {**TRUTH, "gnd": print})
    assert main(["convert", "roxford5k", "--data_dir", str(tmp_path)]) == 2
    assert "refused, and nothing was run" in capsys.readouterr().err
    assert not (tmp_path / "gnd_roxford5k.json").exists()
