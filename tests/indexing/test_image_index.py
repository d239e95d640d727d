"""Built, searched, changed, saved and loaded: against brute force."""

import json
import shutil
import sys
from pathlib import Path

import faiss
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hf_vitret.embedding.model_identity import ModelIdentity
from hf_vitret.indexing.building.index_quality import HeldOutQueries
from hf_vitret.indexing.image_index import ImageIndex
from tests.indexing.vectors import MODEL, brute_force, unit_rows, write_folder
from tests.warm_process import run_warm

WAYS = {
    "flat": {"kind": "flat", "backend": "faiss"},
    "torch": {"kind": "flat", "backend": "torch"},
    "hnsw": {"kind": "hnsw"},
    "ivfpq": {"kind": "ivfpq"},
    "small_ivfpq": {"kind": "ivfpq", "memory_budget": 600 * 30},
    "codes": {"kind": "ivfpq", "memory_budget": 600 * 15},
}
EXACT = ("flat", "torch")
ROWS = unit_rows(600)
IDS = [f"photos/{row:03d}.jpg" for row in range(600)]
QUERIES = unit_rows(9, seed=1)
COLUMNS = {"color": [("red", "green", "blue")[row % 3] for row in range(600)], "price": list(range(600))}


def build(way, **options):
    return ImageIndex.build(ROWS, IDS, metadata=COLUMNS, **WAYS[way], **options)


@pytest.fixture(scope="module")
def indexes():
    """Indexes that no test changes."""
    return {way: build(way) for way in WAYS}


def rows_of(ids):
    return np.array([[-1 if each is None else int(each[-7:-4]) for each in row] for row in ids])


@pytest.mark.parametrize("way", EXACT)
@pytest.mark.parametrize("k", [1, 10, 600, 700])
def test_exact_search_is_brute_force(indexes, way, k):
    scores, ids = indexes[way].search(QUERIES, k)
    expected_scores, expected = brute_force(QUERIES, ROWS, k)
    assert (scores.dtype, scores.shape, ids.shape) == (np.float32, (9, k), (9, k))
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
    assert np.array_equal(rows_of(ids), expected)


@pytest.mark.parametrize("way", WAYS)
def test_the_kinds_find_what_they_say(indexes, way):
    """On queries that the index has never seen, and on its own, left out of their answers."""
    index = indexes[way]
    found = rows_of(index.search(unit_rows(200, seed=5), 10)[1])
    expected = brute_force(unit_rows(200, seed=5), ROWS, 10)[1]
    recall = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, expected)])
    quality = index.manifest.quality
    assert quality.num_queries == 75  # half of a quarter of the images
    assert abs(recall - quality.recall_at_10) < 0.06
    if way in EXACT:
        assert quality.recall_at_10 == 1
    elif way == "codes":
        assert quality.recall_at_10 < 0.95
    else:
        assert quality.recall_at_10 > 0.93
    assert quality.latency_ms > 0


@pytest.mark.parametrize("way", WAYS)
def test_bytes_are_those_of_the_file(indexes, way, tmp_path):
    index = indexes[way]
    index.save(tmp_path / "index")
    [size] = [path.stat().st_size for path in (tmp_path / "index").glob("vectors.*")]
    assert abs(index.manifest.quality.bytes_per_vector - size / 600) < 0.5  # the header of a .npy


def test_torch_finds_what_faiss_finds(indexes):
    ours, theirs = (indexes[way].search(QUERIES, 25) for way in ("torch", "flat"))
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-6)
    assert np.array_equal(ours[1], theirs[1])


def test_without_faiss_the_search_is_exact_in_torch(monkeypatch, tmp_path):
    build("flat").save(tmp_path / "faiss")
    monkeypatch.setitem(sys.modules, "faiss", None)
    monkeypatch.setattr("hf_vitret.indexing.backends.backend.find_spec", lambda name: None)
    index = ImageIndex.build(ROWS, IDS)
    assert (index.manifest.backend, index.manifest.kind) == ("torch", "flat")
    assert np.array_equal(rows_of(index.search(QUERIES, 5)[1]), brute_force(QUERIES, ROWS, 5)[1])
    with pytest.raises(ImportError, match=r"pip install 'hf_vitret\[cpu\]'"):
        ImageIndex.load(tmp_path / "faiss")
    with pytest.raises(ValueError, match="without faiss the search is exact"):
        ImageIndex.build(ROWS, IDS, kind="hnsw")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("memory_map", [True, False])
def test_what_is_saved_is_loaded(indexes, way, memory_map, tmp_path):
    index = indexes[way]
    index.save(tmp_path / "index")
    loaded = ImageIndex.load(tmp_path / "index", memory_map=memory_map)
    for ours, theirs in zip(loaded.search(QUERIES, 20), index.search(QUERIES, 20)):
        assert np.array_equal(ours, theirs)
    assert loaded.manifest == index.manifest
    assert loaded.ids.tolist() == IDS
    assert loaded.records.rows([599]) == [{"image_id": IDS[599], "color": "blue", "price": 599}]


@pytest.mark.parametrize("way", ["flat", "torch", "hnsw", "ivfpq"])
def test_a_mapped_index_stays_on_the_disk(way, tmp_path):
    """The kernel says which part of the file the process has mapped."""
    build(way).save(tmp_path / "index")
    mapped = ImageIndex.load(tmp_path / "index", memory_map=True)
    assert str(tmp_path / "index" / "vectors.") in Path("/proc/self/maps").read_text()
    del mapped


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_loaded", [False, True])
def test_images_are_added_and_removed(way, is_loaded, tmp_path):
    index = build(way)
    if is_loaded:
        index.save(tmp_path / "index")
        index = ImageIndex.load(tmp_path / "index")
    index.remove([IDS[3], IDS[500]])
    assert len(index) == 598
    assert IDS[3] not in index.search(ROWS[[3, 500]], 600)[1]
    assert IDS[500] not in index.ids
    extra = unit_rows(2, seed=9)
    index.add(extra, [IDS[3], "new"], metadata={"color": ["red", "pink"], "price": [1, 2]})
    assert len(index) == 600
    found = index.search(np.concatenate([extra, ROWS[:1]]), 1)[1]
    assert found[:, 0].tolist() == [IDS[3], "new", IDS[0]]
    assert index.search(extra, 1, where="color=pink")[1].tolist() == [["new"], ["new"]]
    index.save(tmp_path / "index")
    again = ImageIndex.load(tmp_path / "index")
    assert np.array_equal(again.search(QUERIES, 50)[1], index.search(QUERIES, 50)[1])
    assert (again.manifest.num_images, again.manifest.num_removed) == (600, 2)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True)),
            st.tuples(st.just("remove"), st.lists(st.integers(0, 30), min_size=1, max_size=8, unique=True)),
            st.tuples(st.just("save"), st.just([])),
        ),
        max_size=8,
    ),
    backend=st.sampled_from(["faiss", "torch"]),
)
def test_any_changes_leave_what_a_dictionary_has(steps, backend, tmp_path):
    """The model of it: a dictionary from integer ids to vectors."""
    rows = unit_rows(31, dim=4, seed=3)
    kept = {0: rows[0]}
    index = ImageIndex.build(rows[:1], [0], backend=backend)
    for step, ids in steps:
        if step == "add":
            if set(ids) & set(kept):
                with pytest.raises(ValueError, match="already in the index"):
                    index.add(rows[ids], ids)
            else:
                index.add(rows[ids], ids)
                kept |= {each: rows[each] for each in ids}
        elif step == "remove":
            if set(ids) - set(kept):
                with pytest.raises(ValueError, match="nothing was removed"):
                    index.remove(ids)
            else:
                index.remove(ids)
                kept = {each: row for each, row in kept.items() if each not in ids}
        else:
            index.save(tmp_path / "index")
            index = ImageIndex.load(tmp_path / "index")
    assert sorted(index.ids.tolist()) == sorted(kept)
    scores, found = index.search(rows[:3], 5)
    known = np.array(sorted(kept), dtype=int)
    vectors = np.array([kept[each] for each in known]).reshape(-1, 4)
    expected_scores, places = brute_force(rows[:3], vectors, 5)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
    assert np.array_equal(found, np.where(places < 0, -1, known[places]) if len(known) else places)


@pytest.mark.parametrize("way", ["flat", "torch", "hnsw"])
def test_a_filter_loses_nothing(indexes, way):
    """All that meet the condition are compared: even a graph is exact under a filter."""
    allowed = np.arange(600) % 3 == 0
    allowed &= np.arange(600) < 40
    scores, ids = indexes[way].search(QUERIES, 20, where=["color=red", "price<40"])
    expected_scores, expected = brute_force(QUERIES, ROWS, 20, allowed)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
    assert np.array_equal(rows_of(ids), expected)
    assert indexes[way].search(QUERIES, 2, where="color=pink")[1].tolist() == [[None, None]] * 9


@pytest.mark.parametrize("way", ["ivfpq", "small_ivfpq", "codes"])
def test_a_filter_compares_codes_as_they_are_kept(indexes, way):
    index = indexes[way]
    kept = index.vectors(np.arange(600))
    expected = brute_force(QUERIES, kept, 20, np.arange(600) % 3 == 1)
    scores, ids = index.search(QUERIES, 20, where="color=green")
    np.testing.assert_allclose(scores, expected[0], atol=1e-5)
    assert (rows_of(ids) == expected[1]).mean() > 0.99  # rounding may swap neighbours


def test_what_scores_too_little_is_no_match(indexes):
    scores, ids = indexes["flat"].search(QUERIES, 10)
    threshold = float(np.median(scores))
    low_scores, low_ids = indexes["flat"].search(QUERIES, 10, min_score=threshold)
    assert np.array_equal(low_scores, np.where(scores >= threshold, scores, -np.inf))
    assert np.array_equal(low_ids, np.where(scores >= threshold, ids, None))


def test_queries_of_another_model_are_refused():
    index = ImageIndex.build(ROWS, IDS, model=MODEL)
    index.search(QUERIES, 1, model=ModelIdentity("copy", None, *[str(each) * 64 for each in (1, 2, 3)]))
    others = {
        "weights": ModelIdentity("user/model", "b" * 40, "9" * 64, "2" * 64, "3" * 64),
        "image processor": ModelIdentity("user/model", "a" * 40, "1" * 64, "2" * 64, "9" * 64),
    }
    for part, other in others.items():
        with pytest.raises(ValueError, match=part) as caught:
            index.search(QUERIES, 1, model=other)
        assert "user/model at aaaaaaaaaaaa" in str(caught.value)
        with pytest.raises(ValueError, match=part):
            index.add(QUERIES, [f"new{row}" for row in range(9)], model=other)
    with pytest.raises(ValueError, match="another revision"):
        index.check_model(others["weights"])


@pytest.mark.parametrize("way", ["flat", "torch", "hnsw", "ivfpq"])
def test_a_folder_gives_what_its_rows_give(way, tmp_path, monkeypatch):
    """With a few rows in memory at a time."""
    monkeypatch.setattr("hf_vitret.embedding.shards.ROWS_AT_ONCE", 37)
    write_folder(tmp_path / "E", ROWS, IDS, COLUMNS)
    index = ImageIndex.build_from(tmp_path / "E", progress=False, **WAYS[way])
    assert index.manifest.model == MODEL
    assert index.ids.tolist() == IDS
    assert index.records.rows([7]) == [{"image_id": IDS[7], "path": f"{IDS[7]}.png", "color": "green", "price": 7}]
    expected = build(way)
    assert index.manifest.quality.recall_at_10 == pytest.approx(expected.manifest.quality.recall_at_10, abs=0.03)
    overlap = [len(set(a) & set(b)) for a, b in zip(index.search(QUERIES, 10)[1], expected.search(QUERIES, 10)[1])]
    assert min(overlap) == 10 if way in EXACT else np.mean(overlap) > 9


def test_a_folder_is_added(tmp_path):
    write_folder(tmp_path / "E", ROWS[:400], IDS[:400], num_shards=2)
    write_folder(tmp_path / "F", ROWS[400:], IDS[400:])
    other = ModelIdentity("other", None, "0", "0", "0")
    write_folder(tmp_path / "G", QUERIES, [f"q{row}" for row in range(9)], model=other)
    index = ImageIndex.build_from(tmp_path / "E", progress=False)
    index.add_from(tmp_path / "F")
    assert np.array_equal(rows_of(index.search(QUERIES, 9)[1]), brute_force(QUERIES, ROWS, 9)[1])
    with pytest.raises(ValueError, match="other weights"):
        index.add_from(tmp_path / "G")


@pytest.mark.parametrize("verify", [True, False])
def test_a_changed_shard_is_refused(tmp_path, verify):
    """One that is still a table, of as many rows."""
    write_folder(tmp_path / "E", ROWS[:300], IDS[:300])
    write_folder(tmp_path / "F", ROWS[300:], IDS[300:])
    table = pq.read_table(tmp_path / "F/embeddings-00000.parquet")
    pq.write_table(table, tmp_path / "F/embeddings-00001.parquet")
    index = ImageIndex.build_from(tmp_path / "E", progress=False)
    if verify:
        with pytest.raises(ValueError, match=r"embeddings-00001\.parquet is not what it was"):
            ImageIndex.build_from(tmp_path / "F", progress=False)
        with pytest.raises(ValueError, match=r"embeddings-00001\.parquet is not what it was"):
            index.add_from(tmp_path / "F")
        assert len(index) == 300
    else:
        with pytest.raises(ValueError, match="more than once came"):
            ImageIndex.build_from(tmp_path / "F", progress=False, verify=False)


def test_codes_are_learned_from_a_random_sample(monkeypatch):
    """Of images sorted by class the first ones would be a few classes; and no query is among those learned from."""
    seen, drawn = [], []
    train = faiss.IndexRefine.train
    monkeypatch.setattr(faiss.IndexRefine, "train", lambda self, rows: seen.append(rows.copy()) or train(self, rows))
    monkeypatch.setattr("hf_vitret.indexing.building.index_choice._TRAINING_PER_CELL", 1)
    monkeypatch.setattr("hf_vitret.indexing.building.index_choice._MIN_TRAINING", 5)
    monkeypatch.setattr(
        "hf_vitret.indexing.building.index_build.HeldOutQueries",
        lambda rows, places: drawn.append(places) or HeldOutQueries(rows, places),
    )
    for seed in (0, 0, 1):
        ImageIndex.build(ROWS, IDS, kind="ivfpq", num_queries=40, seed=seed)
    places = [np.array([int(np.flatnonzero((row == ROWS).all(axis=1))[0]) for row in rows]) for rows in seen]
    assert [len(each) for each in places] == [320, 320, 320]
    assert np.array_equal(places[0], places[1])
    assert not np.array_equal(places[0], places[2])
    assert 230 < places[0].mean() < 370  # of the first 320 rows: 160
    assert len(drawn[0]) == 40
    assert not set(places[0]) & set(drawn[0])


def test_k_beyond_what_a_graph_looks_at(indexes):
    assert (indexes["hnsw"].search(QUERIES, 300)[0] > -np.inf).all()


@pytest.mark.parametrize("most", [0, 10])
def test_ids_are_looked_up_as_objects_or_in_their_column(most, monkeypatch):
    monkeypatch.setattr("hf_vitret.indexing.image_records._MAX_OBJECTS", most)
    index = ImageIndex.build(ROWS[:3], ["a", "b", "c"])
    order = brute_force(QUERIES, ROWS[:3], 3)[1]
    expected = [[*("abc"[row] for row in each), None] for each in order]
    assert index.search(QUERIES, 4)[1].tolist() == expected
    index.remove(["b"])
    index.add(ROWS[5:6], ["d"])
    assert index.search(ROWS[5:6], 1)[1].tolist() == [["d"]]
    assert index.ids.tolist() == ["a", "c", "d"]


def test_integer_ids_and_torch_queries():
    index = ImageIndex.build(torch.from_numpy(ROWS[:3]), np.array([7, 2**40, 0]))
    scores, ids = index.search(torch.from_numpy(ROWS[:3]).double(), 4)
    assert ids.dtype == np.int64
    assert ids[:, 0].tolist() == [7, 2**40, 0]
    assert ids[:, 3].tolist() == [-1, -1, -1]
    assert np.isneginf(scores[:, 3]).all()


@pytest.mark.parametrize(
    ("rows", "ids", "options", "message"),
    [
        (ROWS[:2], ["a", "a"], {}, "more than once came a"),
        (ROWS[:2], ["a"], {}, "2 embeddings, .*1 ids"),
        (ROWS[:2], ["a", None], {}, "1 are missing"),
        (ROWS[:2], [1, -1], {}, "of at least 0; got -1"),
        (ROWS[:2], ["a", "b"], {"metadata": {"size": [1]}}, "1 size"),
        (ROWS[:2], ["a", "b"], {"metadata": {"image_id": [1, 2]}}, "without a column image_id"),
        (ROWS[:0], [], {}, "at least one embedding, .*; got 0 embeddings"),
        (ROWS[0], ["a"], {}, r"one row is embeddings\[None\]"),
        (np.full((2, 3), np.nan, dtype=np.float32), ["a", "b"], {}, "NaN or infinity in row 0, 1"),
        (ROWS[:2], ["a", "b"], {"backend": "annoy"}, "faiss, torch; got 'annoy'"),
        (ROWS[:2] * 2, ["a", "b"], {"kind": "hnsw"}, "unit norm"),
    ],
)
def test_bad_values_are_refused(rows, ids, options, message):
    with pytest.raises(ValueError, match=message):
        ImageIndex.build(rows, ids, **options)


@pytest.mark.parametrize(
    ("rows", "ids", "message"),
    [
        (np.ones((2, 3), dtype=np.int64), ["a", "b"], "embeddings as floats; got int64"),
        (torch.ones(2, 3, dtype=torch.int8), ["a", "b"], "embeddings as floats; got torch.int8"),
        (ROWS[:2], ["a", 1], "mixture"),
        (ROWS[:2], [1.0, 2.0], "all integers or all strings; got double"),
        (ROWS[:2], [True, False], "got bool"),
    ],
)
def test_bad_types_are_refused(rows, ids, message):
    with pytest.raises(TypeError, match=message):
        ImageIndex.build(rows, ids)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("num_rows", [1, 9])
def test_a_query_that_is_not_finite_is_refused(indexes, bad, num_rows):
    queries = QUERIES[:num_rows].copy()
    queries[-1, 3] = bad
    with pytest.raises(ValueError, match=f"NaN or infinity in row {num_rows - 1}"):
        indexes["hnsw"].search(queries, 2)
    huge = QUERIES[:1] * np.float32(1e30)  # whose square overflows
    assert np.array_equal(indexes["flat"].search(huge, 3)[1], indexes["flat"].search(QUERIES[:1], 3)[1])


def test_bad_searches_and_changes_are_refused(indexes):
    index = build("flat")
    for queries, k, message in (
        (QUERIES, 0, "k must be at least 1"),
        (QUERIES[:, :8], 1, r"\(num_rows, 16\); got \(9, 8\)"),
        (QUERIES * np.inf, 1, "NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=message), np.errstate(invalid="ignore"):
            index.search(queries, k)
    with pytest.raises(TypeError, match="expected ids that are strings"):
        index.remove([1])
    with pytest.raises(ValueError, match="unit L2 norm"):
        index.add(QUERIES * 3, [f"q{row}" for row in range(9)], metadata={"color": ["red"] * 9, "price": [1] * 9})
    with pytest.raises(ValueError, match="the columns of the index"):
        index.add(QUERIES, [f"q{row}" for row in range(9)])
    with pytest.raises(ValueError, match="not in the index: nobody"):
        index.remove([IDS[0], "nobody"])
    assert len(index) == 600


def test_a_folder_that_is_no_index_is_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/one.jpg").write_bytes(b"")
    with pytest.raises(FileExistsError, match="is no index"):
        build("flat").save(tmp_path / "photos")
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["one.jpg"]
    with pytest.raises(FileNotFoundError, match=r"expected index\.json"):
        ImageIndex.load(tmp_path / "photos")


@pytest.mark.parametrize("name", ["vectors.faiss", "images.parquet"])
def test_a_changed_file_is_not_parsed(name, tmp_path, monkeypatch):
    build("flat").save(tmp_path / "index")
    path = tmp_path / "index" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr("hf_vitret.indexing.building.index_files.load_backend", lambda *_, **__: pytest.fail("parsed"))
    with pytest.raises(ValueError, match=f"{name} is not what it was"):
        ImageIndex.load(tmp_path / "index")
    path.write_bytes(content[:-1])
    with pytest.raises(ValueError, match=f"{name} is not what it was"):
        ImageIndex.load(tmp_path / "index", verify=False)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=name):
        ImageIndex.load(tmp_path / "index")


def test_a_manifest_of_another_kind_is_refused(tmp_path):
    build("flat").save(tmp_path / "index")
    path = tmp_path / "index/index.json"
    content = json.loads(path.read_text())
    for changed, message in (
        (content | {"format_version": 99}, "got 99"),
        ({"format_version": 1}, "is damaged"),
        ([], "is damaged"),
        (content | {"backend": "../other"}, "expected a backend"),
    ):
        path.write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=message):
            ImageIndex.load(tmp_path / "index")


def test_a_save_that_fails_leaves_the_old_index(tmp_path, monkeypatch):
    build("flat").save(tmp_path / "index")
    before = (tmp_path / "index/index.json").read_bytes()
    changed = build("flat")
    changed.remove(IDS[:5])

    def stop(*_):
        raise OSError("disk full")

    monkeypatch.setattr("hf_vitret.indexing.image_records.ImageRecords.save", stop)
    with pytest.raises(OSError, match="disk full"):
        changed.save(tmp_path / "index")
    monkeypatch.undo()
    assert (tmp_path / "index/index.json").read_bytes() == before
    assert len(ImageIndex.load(tmp_path / "index")) == 600
    changed.save(tmp_path / "index")
    assert len(ImageIndex.load(tmp_path / "index")) == 595
    assert [path.name for path in tmp_path.iterdir()] == ["index"]


def test_a_save_killed_between_its_renames_is_read(tmp_path):
    build("flat").save(tmp_path / "index")
    shutil.move(tmp_path / "index", tmp_path / ".partial-outdated-index")
    assert len(ImageIndex.load(tmp_path / "index")) == 600


def test_an_index_replaced_by_another_is_not_added_to(tmp_path):
    build("torch").save(tmp_path / "index")
    mapped = ImageIndex.load(tmp_path / "index")
    ImageIndex.build(ROWS[:9], IDS[:9], backend="torch").save(tmp_path / "index")
    assert mapped.records.rows([599]) == [{"image_id": IDS[599], "color": "blue", "price": 599}]
    with pytest.raises(ValueError, match="was replaced since the index was loaded"):
        mapped.add(QUERIES[:1], ["new"], metadata={"color": ["red"], "price": [1]})
    assert np.array_equal(rows_of(mapped.search(QUERIES, 5)[1]), brute_force(QUERIES, ROWS, 5)[1])


def test_exact_search_has_a_copy_on_a_gpu(monkeypatch):
    """Where faiss counts one: the copy is searched, and made again after a change. Here it is a clone on the CPU."""
    copies = []
    index = ImageIndex.build(ROWS[:300], IDS[:300], kind="flat", backend="faiss")
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(
        faiss,
        "index_cpu_to_all_gpus",
        lambda index: copies.append(faiss.clone_index(index)) or copies[-1],
        raising=False,
    )
    for _ in range(2):
        assert np.array_equal(rows_of(index.search(QUERIES, 5)[1]), brute_force(QUERIES, ROWS[:300], 5)[1])
    index.add(ROWS[300:], IDS[300:])
    assert np.array_equal(rows_of(index.search(QUERIES, 5)[1]), brute_force(QUERIES, ROWS, 5)[1])
    assert [copy.ntotal for copy in copies] == [300, 600]


@pytest.mark.parametrize("way", ["hnsw", "ivfpq", "codes"])
def test_search_settings_of_an_earlier_release_are_read(indexes, tmp_path, way):
    """They had other names in `index.json`: `effort`, `cells` and `candidates`."""
    earlier_names = {"ef_search": "effort", "nprobe": "cells", "k_factor": "candidates"}
    indexes[way].save(tmp_path / "index")
    expected = ImageIndex.load(tmp_path / "index")
    path = tmp_path / "index" / "index.json"
    content = json.loads(path.read_text())
    settings = content["quality"]["settings"]
    assert settings
    content["quality"]["settings"] = {earlier_names[name]: value for name, value in settings.items()}
    path.write_text(json.dumps(content))
    received = ImageIndex.load(tmp_path / "index")
    assert received.manifest.quality == expected.manifest.quality
    assert np.array_equal(rows_of(received.search(QUERIES, 10)[1]), rows_of(expected.search(QUERIES, 10)[1]))


PATCHED = """
import faiss.contrib.torch_utils  # as pytorch-metric-learning imports it
import numpy as np
from hf_vitret import ImageIndex
rows = np.eye(64, dtype=np.float32)
for kind in ("flat", "hnsw"):
    index = ImageIndex.build(rows, range(64), kind=kind, backend="faiss", num_queries=8)
    index.remove([3])
    print(index.search(rows[:4], 1)[1].ravel().tolist(), len(set(index.search(rows[:1], 63)[1][0].tolist())))
"""


def test_another_library_may_have_patched_faiss_for_torch():
    process = run_warm(PATCHED)
    assert process.returncode == 0, process.stderr[-2000:]
    for line in process.stdout.splitlines():
        assert line.startswith("[0, 1, 2, ")
        assert not line.startswith("[0, 1, 2, 3]")
        assert line.endswith(" 63")
    assert len(process.stdout.splitlines()) == 2
