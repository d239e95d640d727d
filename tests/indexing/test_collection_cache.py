"""A folder is embedded at its first search alone, and again once the folder or the model is another."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_vitret import embed_images
from hf_vitret.embedding.write_embeddings import write_embeddings
from hf_vitret.indexing.collection_cache import indexed_collection
from tests.embedding.photographs import encoded, noise, write_photos


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos", 6)


@pytest.fixture
def open_collection(monkeypatch, tmp_path, tiny_model):
    """Return a function that opens a collection in a cache; its `embedded` lists the folders that were embedded."""
    embedded = []

    def counting(model, source, *arguments, **options):
        embedded.append(source.name)
        return write_embeddings(model, source, *arguments, **options, progress=False)

    def opened(images, model=tiny_model, **options):
        return indexed_collection(model, images, cache_dir=tmp_path / "cache", say=lambda line: None, **options)

    monkeypatch.setattr("hf_vitret.indexing.collection_cache.write_embeddings", counting)
    opened.embedded = embedded
    return opened


def test_the_index_is_that_of_the_images(open_collection, photos, tiny_model):
    index, folder = open_collection(photos)
    queries = embed_images(tiny_model, [noise(number) for number in range(6)], progress=False).double().numpy()
    scores, ids = index.search(queries.astype(np.float32), 6)
    expected = queries @ queries.T
    np.testing.assert_allclose(scores, -np.sort(-expected, axis=1), atol=2e-2)  # the cache may be of bfloat16
    assert ids[:, 0].tolist() == [f"{number // 5}/{number:02d}.png" for number in range(6)]
    assert index.manifest.kind == "flat"
    assert index.manifest.locations["images"] == str(photos)
    assert folder.parent.name == "cache"


def test_the_second_search_does_not_embed(open_collection, photos):
    first, folder = open_collection(photos)
    second, same = open_collection(photos)
    assert open_collection.embedded == ["photos"]
    assert same == folder
    queries = first.vectors(np.arange(6))
    for received, expected in zip(second.search(queries, 6), first.search(queries, 6)):
        assert np.array_equal(received, expected)


def test_a_folder_is_the_same_by_its_relative_path(open_collection, photos, monkeypatch):
    open_collection(photos)
    monkeypatch.chdir(photos.parent)
    open_collection("photos")
    assert open_collection.embedded == ["photos"]


def change(photos):
    (photos / "0" / "00.png").write_bytes(encoded(noise(77), "BMP"))


def addition(photos):
    (photos / "1" / "new.png").write_bytes(encoded(noise(78)))


def removal(photos):
    (photos / "0" / "03.png").unlink()


def renaming(photos):
    (photos / "0" / "03.png").rename(photos / "0" / "33.png")


@pytest.mark.parametrize("edit", [change, addition, removal, renaming])
def test_another_file_makes_it_new(open_collection, photos, edit):
    open_collection(photos)
    edit(photos)
    index, _ = open_collection(photos)
    assert len(open_collection.embedded) == 2
    files = {path.relative_to(photos).as_posix() for path in photos.rglob("*.png")}
    assert set(index.ids.tolist()) == files
    open_collection(photos)
    assert len(open_collection.embedded) == 2


def test_an_edit_that_keeps_the_size_is_noticed_by_its_time(open_collection, photos):
    path = photos / "0" / "00.png"
    path.write_bytes(encoded(noise(5), "BMP"))
    before, size = open_collection(photos)[0], path.stat().st_size
    path.write_bytes(encoded(noise(20), "BMP"))
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns + 10**9))
    assert path.stat().st_size == size
    after, _ = open_collection(photos)
    assert not np.allclose(before.vectors(np.array([0])), after.vectors(np.array([0])), atol=0.05)


def test_a_copy_of_the_folder_is_another_collection(open_collection, photos, tmp_path):
    shutil.copytree(photos, tmp_path / "copy" / "photos")  # copies times too
    open_collection(photos)
    index, _ = open_collection(tmp_path / "copy" / "photos")
    assert index.manifest.locations["images"] == str(tmp_path / "copy" / "photos")


def test_another_model_has_another_cache(open_collection, photos, tiny_model):
    _, folder = open_collection(photos)
    with torch.no_grad():
        next(tiny_model.parameters()).add_(0.1)
    _, other = open_collection(photos, tiny_model)
    assert other != folder
    assert len(open_collection.embedded) == 2


def test_an_interrupted_search_goes_on(open_collection, photos, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("hf_vitret.indexing.collection_cache.ImageIndex.build_from", None)
        with pytest.raises(TypeError, match="not callable"):
            open_collection(photos)
    with monkeypatch.context() as patch:
        patch.setattr("hf_vitret.embedding.write_embeddings.open_shard", None)  # no shard is written again
        index, _ = open_collection(photos)
    assert len(index) == 6


def test_images_that_cannot_be_read_are_reported(photos, tmp_path, tiny_model):
    (photos / "0" / "00.png").write_bytes(b"broken")
    lines = []
    index, _ = indexed_collection(tiny_model, photos, cache_dir=tmp_path / "cache", say=lines.append)
    assert len(index) == 5
    assert lines[0] == "Embedding photos ..."
    assert lines[1].startswith("Images that cannot be read and are left out: 1 (reasons in ")
    assert Path(lines[1].split("reasons in ")[1].removesuffix(")")).is_file()
    for path in photos.rglob("*.png"):
        path.write_bytes(b"broken")
    with pytest.raises(ValueError, match="it has none"):
        indexed_collection(tiny_model, photos, cache_dir=tmp_path / "cache", say=lines.append)


def test_the_cache_is_in_the_home_of_the_hub(photos, tmp_path, tiny_model, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "home"))
    _, folder = indexed_collection(tiny_model, photos, say=lambda line: None)
    assert folder.parent == tmp_path / "home" / "hf_vitret" / "collections"


def test_images_that_are_not_there_are_named(open_collection, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="found none"):
        open_collection(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        open_collection(tmp_path / "nowhere")
