"""Embeddings know where their model and images are on this machine, also after all of them were moved together."""

import json
import shutil

import pytest

from hf_vitret import EmbeddingFolder, ViTRetModel
from hf_vitret.embedding.locations import read_locations, write_locations
from hf_vitret.embedding.write_embeddings import write_embeddings
from tests.embedding.photographs import write_photos


@pytest.fixture
def work(tmp_path, tiny_model):
    """Write a model, photographs and their embeddings into one folder."""
    work = tmp_path / "work"
    tiny_model.save_pretrained(work / "model")
    write_photos(work / "photos", 3)
    write_embeddings(work / "model", work / "photos", work / "E", progress=False)
    return work


def test_on_the_disk_they_are_relative_and_in_memory_absolute(work):
    assert json.loads((work / "E" / "locations.json").read_text()) == {"model": "../model", "images": "../photos"}
    assert EmbeddingFolder(work / "E").locations == {"model": str(work / "model"), "images": str(work / "photos")}


def test_they_are_the_same_from_every_working_directory_and_through_a_link(work, tmp_path, monkeypatch):
    (tmp_path / "link").symlink_to(work / "E")
    expected = {"model": str(work / "model"), "images": str(work / "photos")}
    assert EmbeddingFolder(tmp_path / "link").locations == expected
    monkeypatch.chdir(work / "photos")
    assert EmbeddingFolder("../E").locations == expected
    write_embeddings("../model", ".", "../F", progress=False)
    assert EmbeddingFolder("../F").locations == expected


def test_folders_that_are_moved_together_find_each_other(work, tmp_path):
    moved = tmp_path / "archive" / "2024"
    moved.parent.mkdir()
    shutil.move(work, moved)
    assert EmbeddingFolder(moved / "E").locations == {"model": str(moved / "model"), "images": str(moved / "photos")}
    ViTRetModel.from_pretrained(EmbeddingFolder(moved / "E").locations["model"])


def test_a_call_that_finds_everything_embedded_updates_them(work, tmp_path):
    shutil.move(work / "photos", tmp_path / "photos")
    write_embeddings(work / "model", tmp_path / "photos", work / "E", progress=False)
    assert EmbeddingFolder(work / "E").locations["images"] == str(tmp_path / "photos")


def test_a_model_that_was_never_stored_has_none(tmp_path, tiny_model):
    write_photos(tmp_path / "photos", 2)
    write_embeddings(tiny_model, tmp_path / "photos", tmp_path / "E", progress=False)
    assert EmbeddingFolder(tmp_path / "E").locations == {"images": str(tmp_path / "photos")}


def test_a_folder_of_an_earlier_release_has_none(work):
    (work / "E" / "locations.json").unlink()
    assert EmbeddingFolder(work / "E").locations == {}


def test_what_is_not_on_this_machine_is_left_out(tmp_path):
    write_locations(tmp_path, None, None)
    assert read_locations(tmp_path) == {}


@pytest.mark.parametrize("content", ["{", "[]", '{"model": 3}', '{"weights": "../model"}', "\xff"])
def test_a_damaged_file_is_named_with_what_to_do(work, content):
    path = work / "E" / "locations.json"
    path.write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=rf"{path}.*remove the file, or repeat hf-vitret embed"):
        EmbeddingFolder(work / "E").locations  # noqa: B018
