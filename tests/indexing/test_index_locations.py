"""An index knows where the model and the images of its embeddings are, and what an index is."""

import json
import shutil
from dataclasses import replace

import pytest

from hf_vitret import ImageIndex
from hf_vitret.embedding.locations import write_locations
from hf_vitret.indexing.image_index import is_index
from tests.earlier_formats.observed import FOLDER as EARLIER
from tests.indexing.vectors import MODEL, unit_rows, write_folder

LOCAL = replace(MODEL, revision=None)  # of a model in a folder, not on the Hub


@pytest.fixture
def work(tmp_path):
    """Write a folder that stands for a model, three image files, their embeddings, and the index of these."""
    work = tmp_path / "work"
    (work / "model").mkdir(parents=True)
    (work / "photos").mkdir()
    for name in "abc":
        (work / "photos" / f"{name}.png").touch()
    write_folder(work / "E", unit_rows(3), "abc", model=LOCAL, num_shards=1)
    write_locations(work / "E", work / "model", work / "photos")
    ImageIndex.build_from(work / "E", progress=False).save(work / "index")
    return work


def test_they_are_those_of_the_embeddings(work):
    expected = {"model": str(work / "model"), "images": str(work / "photos")}
    assert ImageIndex.build_from(work / "E", progress=False).manifest.locations == expected
    assert ImageIndex.load(work / "index").manifest.locations == expected
    on_disk = json.loads((work / "index" / "index.json").read_text())["locations"]
    assert on_disk == {"model": "../model", "images": "../photos"}


def test_an_index_that_is_saved_elsewhere_points_to_the_same_folders(work, tmp_path):
    index = ImageIndex.load(work / "index")
    index.save(tmp_path / "a" / "b" / "copy")
    assert ImageIndex.load(tmp_path / "a" / "b" / "copy").manifest.locations == index.manifest.locations


def test_folders_that_are_moved_together_find_each_other(work, tmp_path):
    shutil.move(work, tmp_path / "moved")
    index = ImageIndex.load(tmp_path / "moved" / "index")
    assert index.has_model_at_hand
    assert index.example_file() == tmp_path / "moved" / "photos" / "a.png"


def test_an_index_of_an_earlier_release_has_none():
    index = ImageIndex.load(EARLIER / "index-flat-torch")
    assert index.manifest.locations == {}
    assert index.example_file() is None


@pytest.mark.parametrize("locations", [[], {"model": 3}, {"weights": "../model"}])
def test_damaged_locations_are_refused(work, locations):
    path = work / "index" / "index.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"locations": locations}))
    with pytest.raises(ValueError, match=r"index\.json is damaged .*expected locations"):
        ImageIndex.load(work / "index")


def test_the_example_is_the_first_image_that_a_search_can_find(work):
    index = ImageIndex.load(work / "index")
    assert index.example_file() == work / "photos" / "a.png"
    index.remove(["a"])
    assert index.example_file() == work / "photos" / "b.png"
    (work / "photos" / "b.png").unlink()
    assert index.example_file() is None
    index.remove(["b", "c"])
    assert index.example_file() is None
    assert ImageIndex.build(unit_rows(3), "abc").example_file() is None


def test_a_model_is_at_hand_in_its_folder_or_on_the_hub(work):
    index = ImageIndex.load(work / "index")
    assert index.has_model_at_hand
    (work / "model").rmdir()
    assert not index.has_model_at_hand
    assert not ImageIndex.build(unit_rows(3), "abc").has_model_at_hand
    assert not ImageIndex.build(unit_rows(3), "abc", model=LOCAL).has_model_at_hand
    assert ImageIndex.build(unit_rows(3), "abc", model=MODEL).has_model_at_hand


def test_is_index(work, tmp_path):
    assert is_index(work / "index")
    assert is_index(str(work / "index"))
    assert not is_index(work / "E")
    assert not is_index(work / "photos" / "a.png")
    assert not is_index(tmp_path / "nowhere")
