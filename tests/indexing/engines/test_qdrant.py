"""Qdrant, embedded and as a server: the same neighbors and scores as exact search, and the same points every time."""

import doctest
import gc
import json
import sqlite3
import sys
import threading

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from hf_vitret.embedding.model_identity import ModelIdentity
from hf_vitret.indexing.engines import qdrant
from hf_vitret.indexing.engines.qdrant import point_id, to_qdrant
from tests.indexing.engines.catalogue import (
    COLORS,
    IDS,
    IS_RED_AND_CHEAP,
    NUM_IMAGES,
    PRICES,
    QUERIES,
    ROWS,
    ended_after,
    write_catalogue,
)
from tests.indexing.engines.qdrant_server import QdrantServer
from tests.indexing.vectors import brute_force, unit_rows, write_folder

# Qdrant's local mode waits for the disk after each point, which no end of a process calls for.
NO_WAIT = """
import sqlite3

def connect(*arguments, whole=sqlite3.connect, **settings):
    connection = whole(*arguments, **settings)
    connection.execute("PRAGMA synchronous = OFF")
    return connection

sqlite3.connect = connect
"""


@pytest.fixture
def folder(tmp_path):
    return write_catalogue(tmp_path / "E")


@pytest.fixture
def client():
    client = QdrantClient(":memory:")
    yield client
    client.close()


def everything(client):
    """Return all points, sorted, and the metadata of the collection."""
    points, _ = client.scroll("images", limit=1000, with_vectors=True)
    facts = client.get_collection("images").config.metadata["hf_vitret"]
    return sorted((point.id, tuple(point.vector), str(point.payload)) for point in points), facts


def assert_is_catalogue(client):
    points, facts = everything(client)
    assert [point[0] for point in points] == sorted(map(point_id, IDS))
    rows = {point[0]: point[1] for point in points}
    np.testing.assert_array_equal(np.float32([rows[point_id(image_id)] for image_id in IDS]), ROWS)
    assert [load["is_finished"] for load in facts["loads"]] == [True]


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_scores_are_those_of_exact_search(tmp_path, client, scale):
    rows = ROWS * np.linspace(1, scale, NUM_IMAGES, dtype=np.float32)[:, None]
    to_qdrant(write_catalogue(tmp_path / "E", rows), client, progress=False)
    scores, positions = brute_force(QUERIES, rows, 10)
    for query, expected, order in zip(QUERIES, scores, positions, strict=True):
        found = client.query_points("images", query=query, limit=10).points
        assert [point.payload["image_id"] for point in found] == IDS[order].tolist()
        assert [point.id for point in found] == [point_id(image_id) for image_id in IDS[order]]
        np.testing.assert_allclose([point.score for point in found], expected, atol=1e-6)


def test_filters_on_metadata(folder, client):
    to_qdrant(folder, client, progress=False)
    red = models.FieldCondition(key="color", match=models.MatchValue(value="red"))
    cheap = models.FieldCondition(key="price", range=models.Range(lt=4))
    scores, positions = brute_force(QUERIES, ROWS, 6, IS_RED_AND_CHEAP)
    for query, expected, order in zip(QUERIES, scores, positions, strict=True):
        condition = models.Filter(must=[red, cheap])
        found = client.query_points("images", query=query, query_filter=condition, limit=6).points
        assert [point.payload["image_id"] for point in found] == IDS[order].tolist()
        np.testing.assert_allclose([point.score for point in found], expected, atol=1e-6)
    payload = client.retrieve("images", [point_id(IDS[2])])[0].payload
    assert payload == {"image_id": IDS[2], "path": f"{IDS[2]}.png", "price": PRICES[2], "color": COLORS[2]}


def test_a_repeated_load_changes_nothing(folder, client):
    first = to_qdrant(folder, client, progress=False)
    before = everything(client)
    assert to_qdrant(folder, client, progress=False) == first
    assert everything(client) == before
    assert first.num_images == first.num_in_collection == NUM_IMAGES
    assert first.facts.model.name == "user/model"


def test_an_interrupted_load_goes_on(tmp_path, monkeypatch):
    """In a folder, by another process: what it left is there, is not told to be whole, and becomes it."""
    folder = write_catalogue(tmp_path / "E")
    ended_after(2, f"{NO_WAIT}\nfrom hf_vitret.indexing.engines.qdrant import *\nto_qdrant('E', 'made')", tmp_path)
    monkeypatch.setattr(sqlite3, "connect", sqlite3.connect)
    exec(NO_WAIT)
    client = QdrantClient(path=str(tmp_path / "made"))
    points, facts = everything(client)
    client.close()
    assert len(points) == 80
    assert [load["is_finished"] for load in facts["loads"]] == [False]
    to_qdrant(folder, tmp_path / "made", progress=False)
    client = QdrantClient(path=str(tmp_path / "made"))
    assert_is_catalogue(client)
    client.close()


# The client that is refused leaves its lock's file for the garbage collector to close.
@pytest.mark.filterwarnings("ignore:Exception ignored in.*lock:pytest.PytestUnraisableExceptionWarning")
def test_a_folder_that_another_program_has_open(tmp_path, folder):
    client = QdrantClient(path=str(tmp_path / "made"))
    with pytest.raises(OSError, match=r"Qdrant at .*made: .*already accessed"):
        to_qdrant(folder, tmp_path / "made")
    client.close()
    gc.collect()


def test_other_folders_of_the_model_join(tmp_path, folder, client):
    to_qdrant(folder, client, progress=False)
    changed = unit_rows(4, seed=3)
    ids = [IDS[0], "new/1", "new/2", IDS[1]]
    more = write_catalogue(tmp_path / "F", changed, ids, [1] * 4, ["green"] * 4)
    assert to_qdrant(more, client, progress=False).num_in_collection == NUM_IMAGES + 2
    points = client.retrieve("images", [point_id(image_id) for image_id in ids], with_vectors=True)
    found = {point.payload["image_id"]: point.vector for point in points}
    np.testing.assert_array_equal(np.float32([found[image_id] for image_id in ids]), changed)
    assert [load["num_images"] for load in everything(client)[1]["loads"]] == [NUM_IMAGES, 4]


def test_another_model_is_refused(tmp_path, folder, client):
    to_qdrant(folder, client, progress=False)
    before = everything(client)
    other = write_catalogue(
        tmp_path / "F", -ROWS, model=ModelIdentity("user/other", None, "4" * 64, "2" * 64, "3" * 64)
    )
    with pytest.raises(
        ValueError, match=r"'images' holds .* another name \(user/model and user/other\).*other weights"
    ):
        to_qdrant(other, client, progress=False)
    assert everything(client) == before


def test_a_collection_of_somebody_else_is_refused(folder, client):
    client.create_collection("images", vectors_config=models.VectorParams(size=16, distance=models.Distance.DOT))
    with pytest.raises(ValueError, match="does not say whose embeddings"):
        to_qdrant(folder, client, progress=False)
    assert client.count("images").count == 0


def test_a_server(folder, monkeypatch):
    """By its REST interface, with the key in its header alone, and no request above what a server takes."""
    monkeypatch.setenv("QDRANT_API_KEY", "very-secret")
    monkeypatch.setattr(qdrant, "_VECTOR_BYTES_A_REQUEST", 16 * 4 * 25)
    with QdrantServer() as server:
        with pytest.warns(UserWarning, match="insecure connection"):
            report = to_qdrant(folder, server.address, progress=False)
        assert_is_catalogue(server.client)
    assert "very-secret" not in json.dumps(report.to_json())
    assert server.keys == {"very-secret"}
    assert [len(ids) for ids in server.upserted] == [25, 15] * 3
    with pytest.raises(
        ValueError, match=r"QDRANT_API_KEY is set, and would travel to search\.example\.org unencrypted"
    ):
        to_qdrant(folder, "http://search.example.org:6333")


def test_a_server_that_keeps_no_facts(folder):
    with QdrantServer(keeps_metadata=False) as server:
        with pytest.raises(OSError, match=r"version 1\.16 or later"):
            to_qdrant(folder, server.address, progress=False)
        assert not server.client.collection_exists("images")


@pytest.mark.filterwarnings("ignore:Failed to obtain server version")
def test_a_server_that_is_not_there(folder):
    with pytest.raises(OSError, match=r"Qdrant at http://127\.0\.0\.1:9: .*refused"):
        to_qdrant(folder, "http://127.0.0.1:9", progress=False)
    for thread in set(threading.enumerate()) - {threading.current_thread()}:
        if "_check_compatibility" in thread.name:
            thread.join()  # the client's own question for the version, which warns here and in no other test


def test_what_to_install(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "qdrant_client", None)
    with pytest.raises(ImportError, match=r"pip install \"hf_vitret\[qdrant\]\""):
        to_qdrant(folder, tmp_path / "made")


def test_no_metadata(tmp_path, client):
    to_qdrant(write_folder(tmp_path / "E", ROWS[:5], IDS[:5]), client, progress=False)
    assert client.retrieve("images", [point_id(IDS[4])])[0].payload == {"image_id": IDS[4], "path": f"{IDS[4]}.png"}


def test_ids_do_not_change():
    """Of collections that are already out there."""
    assert point_id("shoes/0001.jpg") == "9bfd3c97-cc77-5f4b-be6e-07e730c0d40e"
    assert doctest.testmod(qdrant).attempted > 0
    assert doctest.testmod(qdrant).failed == 0
