"""Milvus Lite: the same neighbors and scores as exact search, and the same rows every time.

Milvus is in no extra that CI installs: pip install "hf_vitret[milvus]" runs these.
"""

import json
import sys

import numpy as np
import pytest

from hf_vitret.embedding.model_identity import ModelIdentity
from hf_vitret.indexing.engines.milvus import to_milvus
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
from tests.indexing.vectors import brute_force, unit_rows, write_folder


@pytest.fixture
def folder(tmp_path):
    return write_catalogue(tmp_path / "E")


@pytest.fixture
def client(tmp_path):
    pymilvus = pytest.importorskip("pymilvus", reason='NOT TESTED: to_milvus. pip install "hf_vitret[milvus]"')
    pytest.importorskip("milvus_lite", reason='NOT TESTED: to_milvus. pip install "hf_vitret[milvus]"')
    client = pymilvus.MilvusClient(str(tmp_path / "made.db"))
    yield client
    from milvus_lite.server_manager import server_manager_instance

    client.close()
    server_manager_instance.release_server(str(tmp_path / "made.db"))


def everything(client):
    client.load_collection("images")
    rows = client.query("images", filter="path != ''", output_fields=["*"], limit=1000)
    facts = json.loads(client.describe_collection("images")["properties"]["hf_vitret"])
    return sorted(({**row} for row in rows), key=lambda row: row["image_id"]), facts


def assert_is_catalogue(client):
    rows, facts = everything(client)
    assert [row["image_id"] for row in rows] == IDS.tolist()
    assert [row["price"] for row in rows] == PRICES
    assert [row["color"] for row in rows] == COLORS
    np.testing.assert_array_equal(np.float32([row["embedding"] for row in rows]), ROWS)
    assert [load["is_finished"] for load in facts["loads"]] == [True]


def test_scores_are_those_of_exact_search(folder, client):
    to_milvus(folder, client, progress=False)
    for filter_, allowed in (("", None), ("color == 'red' and price < 4", IS_RED_AND_CHEAP)):
        scores, positions = brute_force(QUERIES, ROWS, 6, allowed)
        found = client.search("images", data=QUERIES, limit=6, filter=filter_)
        for hits, expected, order in zip(found, scores, positions, strict=True):
            assert [hit["image_id"] for hit in hits] == IDS[order].tolist()
            np.testing.assert_allclose([hit["distance"] for hit in hits], expected, atol=1e-6)


def test_a_repeated_load_changes_nothing(tmp_path, folder, client):
    first = to_milvus(folder, client, progress=False)
    assert_is_catalogue(client)
    assert to_milvus(folder, tmp_path / "made.db", progress=False).facts == first.facts
    assert_is_catalogue(client)
    assert first.num_images == first.num_in_collection == NUM_IMAGES


def test_an_interrupted_load_goes_on(tmp_path, request):
    pytest.importorskip("milvus_lite", reason='NOT TESTED: to_milvus. pip install "hf_vitret[milvus]"')
    folder = write_catalogue(tmp_path / "E")
    call = "from hf_vitret.indexing.engines.milvus import to_milvus\nto_milvus('E', 'made.db', progress=False)"
    ended_after(2, call, tmp_path)
    client = request.getfixturevalue("client")
    rows, facts = everything(client)
    assert len(rows) == 80
    assert [load["is_finished"] for load in facts["loads"]] == [False]
    to_milvus(folder, client, progress=False)
    assert_is_catalogue(client)


def test_other_folders_of_the_model_join(tmp_path, folder, client):
    to_milvus(folder, client, progress=False)
    ids = [IDS[0], "new/1", "new/2", IDS[1]]
    more = write_catalogue(tmp_path / "F", unit_rows(4, seed=3), ids, [1] * 4, ["green"] * 4)
    assert to_milvus(more, client, progress=False).num_in_collection == NUM_IMAGES + 2
    other = write_catalogue(tmp_path / "G", model=ModelIdentity("user/other", None, "4" * 64, "2" * 64, "3" * 64))
    with pytest.raises(ValueError, match="other weights"):
        to_milvus(other, client, progress=False)


def test_a_server(folder, client, monkeypatch):
    """By its address: the one that Milvus Lite is behind."""
    from milvus_lite.server_manager import server_manager_instance

    (path,) = server_manager_instance._servers
    address = server_manager_instance.start_and_get_uri(path)
    monkeypatch.setenv("MILVUS_TOKEN", "very-secret")
    report = to_milvus(folder, address, progress=False)
    assert "very-secret" not in json.dumps(report.to_json())
    assert_is_catalogue(client)
    with pytest.raises(ValueError, match="MILVUS_TOKEN is set, and would travel"):
        to_milvus(folder, "http://milvus.example.org:19530")


def test_bad_input(tmp_path, folder, client):
    with pytest.raises(ValueError, match=r"ends in \.db"):
        to_milvus(folder, tmp_path / "made")
    with pytest.raises(ValueError, match="letters, digits and _"):
        to_milvus(write_folder(tmp_path / "F", ROWS[:3], IDS[:3], {"a b": [1] * 3}), client, progress=False)


def test_what_to_install(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pymilvus", None)
    with pytest.raises(ImportError, match=r"pip install \"hf_vitret\[milvus\]\""):
        to_milvus(folder, tmp_path / "made.db")
