"""LanceDB in a folder: the same neighbors and scores as exact search, and the same rows every time."""

import datetime
import json
import sys

import lancedb
import numpy as np
import pyarrow as pa
import pytest

from hf_vitret.embedding.model_identity import ModelIdentity
from hf_vitret.indexing.engines import lance
from hf_vitret.indexing.engines.lance import to_lancedb
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
def small_commits(monkeypatch):
    """A commit each 40 rows, which is a shard."""
    monkeypatch.setattr(lance, "_VECTOR_BYTES_A_COMMIT", 40 * 16 * 4)


def opened(place):
    return lancedb.connect(place).open_table("images")


def facts_of(table):
    return json.loads(table.schema.field("embedding").metadata[b"hf_vitret"])


def assert_is_catalogue(table):
    rows = table.to_arrow().sort_by("image_id")
    assert rows["image_id"].to_pylist() == IDS.tolist()
    assert rows["path"].to_pylist() == [f"{image_id}.png" for image_id in IDS]
    assert rows["price"].to_pylist() == PRICES
    assert rows["color"].to_pylist() == COLORS
    np.testing.assert_array_equal(np.stack(rows["embedding"].to_numpy()), ROWS)
    assert [load["is_finished"] for load in facts_of(table)["loads"]] == [True]


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_scores_are_those_of_exact_search(tmp_path, scale):
    rows = ROWS * np.linspace(1, scale, NUM_IMAGES, dtype=np.float32)[:, None]
    to_lancedb(write_catalogue(tmp_path / "E", rows), tmp_path / "made", progress=False)
    scores, positions = brute_force(QUERIES, rows, 10)
    for query, expected, order in zip(QUERIES, scores, positions, strict=True):
        found = opened(tmp_path / "made").search(query).metric("dot").limit(10).to_arrow()
        assert found["image_id"].to_pylist() == IDS[order].tolist()
        np.testing.assert_allclose(1 - found["_distance"].to_numpy(), expected, atol=1e-6)


def test_filters_on_metadata(tmp_path, folder):
    to_lancedb(folder, tmp_path / "made", progress=False)
    scores, positions = brute_force(QUERIES, ROWS, 6, IS_RED_AND_CHEAP)
    for query, expected, order in zip(QUERIES, scores, positions, strict=True):
        search = opened(tmp_path / "made").search(query).metric("dot").where("color = 'red' AND price < 4")
        found = search.limit(6).to_arrow()
        assert found["image_id"].to_pylist() == IDS[order].tolist()
        np.testing.assert_allclose(1 - found["_distance"].to_numpy(), expected, atol=1e-6)


def test_a_repeated_load_changes_nothing(tmp_path, folder):
    first = to_lancedb(folder, tmp_path / "made", progress=False)
    assert_is_catalogue(opened(tmp_path / "made"))
    assert to_lancedb(folder, lancedb.connect(tmp_path / "made"), progress=False).facts == first.facts
    assert_is_catalogue(opened(tmp_path / "made"))
    assert first.num_images == first.num_in_collection == NUM_IMAGES


def test_a_commit_holds_no_more_than_its_bytes(tmp_path, folder, small_commits):
    to_lancedb(folder, tmp_path / "made", progress=False)
    table = opened(tmp_path / "made")
    assert_is_catalogue(table)
    assert len(table.list_versions()) == 1 + 3 + 1  # made, filled by three, told to be whole


def test_an_interrupted_load_goes_on(tmp_path, small_commits):
    folder = write_catalogue(tmp_path / "E")
    call = "from hf_vitret.indexing.engines import lance\nlance._VECTOR_BYTES_A_COMMIT = 40 * 16 * 4\n"
    ended_after(2, f"{call}lance.to_lancedb('E', 'made', progress=False)", tmp_path)
    table = opened(tmp_path / "made")
    assert table.count_rows() == 80
    assert [load["is_finished"] for load in facts_of(table)["loads"]] == [False]
    to_lancedb(folder, tmp_path / "made", progress=False)
    assert_is_catalogue(opened(tmp_path / "made"))


def test_other_folders_of_the_model_join(tmp_path, folder):
    to_lancedb(folder, tmp_path / "made", progress=False)
    changed, ids = unit_rows(4, seed=3), [IDS[0], "new/1", "new/2", IDS[1]]
    more = write_catalogue(tmp_path / "F", changed, ids, [1] * 4, ["green"] * 4)
    assert to_lancedb(more, tmp_path / "made", progress=False).num_in_collection == NUM_IMAGES + 2
    rows = opened(tmp_path / "made").search().where("color = 'green'").to_arrow()
    found = dict(zip(rows["image_id"].to_pylist(), rows["embedding"].to_pylist(), strict=True))
    np.testing.assert_array_equal(np.float32([found[image_id] for image_id in ids]), changed)


def test_another_model_is_refused(tmp_path, folder):
    to_lancedb(folder, tmp_path / "made", progress=False)
    other = ModelIdentity("user/model", "b" * 40, "4" * 64, "2" * 64, "3" * 64)
    with pytest.raises(ValueError, match=r"another revision \(aaa.* and bbb.*\); other weights"):
        to_lancedb(write_catalogue(tmp_path / "F", -ROWS, model=other), tmp_path / "made", progress=False)
    assert_is_catalogue(opened(tmp_path / "made"))


def test_a_table_of_somebody_else_is_refused(tmp_path, folder):
    lancedb.connect(tmp_path / "made").create_table("images", pa.table({"image_id": ["mine"]}))
    with pytest.raises(ValueError, match="does not say whose embeddings"):
        to_lancedb(folder, tmp_path / "made", progress=False)
    assert opened(tmp_path / "made").count_rows() == 1


def test_types_of_metadata(tmp_path):
    columns = {
        "day": pa.array([datetime.date(2024, 1, 31)] * 5),
        "kind": pa.array(["a", "b", None, "a", "b"]).dictionary_encode(),
        "nothing": pa.nulls(5),
        "ratio": pa.array([0.5, None, float("nan"), 1, 2], pa.float32()),
    }
    folder = write_folder(tmp_path / "E", ROWS[:5], IDS[:5], columns, num_shards=1)
    for _ in range(2):
        to_lancedb(folder, tmp_path / "made", progress=False)
    rows = opened(tmp_path / "made").to_arrow().sort_by("image_id")
    assert rows["day"].to_pylist() == columns["day"].to_pylist()
    assert rows["kind"].to_pylist() == ["a", "b", None, "a", "b"]
    assert rows["nothing"].to_pylist() == [None] * 5
    assert rows["ratio"].type == pa.float32()


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("hf://datasets/user/name/data", "upload that as one commit"),
        ("s3://key:secret@bucket/path", "without a user or password"),
    ],
)
def test_places_that_are_refused(folder, place, message):
    with pytest.raises(ValueError, match=message) as caught:
        to_lancedb(folder, place)
    assert "secret" not in str(caught.value)


def test_the_hub_is_a_place_to_open(tmp_path, folder):
    """As the docstring says; there is no network here, but an engine that knows no such place says so."""
    with pytest.raises(ValueError, match="No object store provider found for scheme: 'xyz'") as caught:
        lancedb.connect("xyz://datasets/user/name/data").open_table("images")
    assert "hf" in str(caught.value).split("Valid schemes:")[1].replace(",", " ").split()


def test_columns_with_a_dot_are_refused(tmp_path):
    folder = write_folder(tmp_path / "E", ROWS[:5], IDS[:5], {"a.b": [1] * 5})
    with pytest.raises(ValueError, match=r"without a dot.*\['a\.b'\]"):
        to_lancedb(folder, tmp_path / "made", progress=False)


def test_what_to_install(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(ImportError, match=r"pip install \"hf_vitret\[lancedb\]\""):
        to_lancedb(folder, tmp_path / "made")
