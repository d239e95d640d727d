"""The load of a folder, whatever the engine: in which order it says what, and what it refuses before it writes."""

import pytest

from hf_vitret.indexing.engines.loading import load_into
from tests.indexing.engines.catalogue import IDS, NUM_IMAGES, ROWS, write_catalogue
from tests.indexing.vectors import unit_rows, write_folder


class Recorded:
    """A collection that is a dictionary, and a list of what was asked of it."""

    engine, location, name = "Dictionary", "memory", "images"

    def __init__(self):
        self.images, self.facts, self.asked = {}, None, []

    def read_facts(self):
        return self.facts

    def create(self, facts, schema):
        self.asked.append(f"create {schema.names}")
        self.facts = facts

    def write_facts(self, facts):
        self.asked.append(f"facts {[load.is_finished for load in facts.loads]}")
        self.facts = facts

    def upsert(self, blocks):
        for block in blocks:
            self.asked.append(f"upsert {len(block.embeddings)}")
            self.images.update(zip(block.ids, block.embeddings.tolist(), strict=True))

    def count(self):
        return len(self.images)


def test_it_is_told_to_be_whole_once_it_is(tmp_path):
    collection = Recorded()
    report = load_into(collection, write_catalogue(tmp_path / "E"), progress=False)
    columns = ["image_id", "path", "price", "color"]
    assert collection.asked == [f"create {columns}", "upsert 40", "upsert 40", "upsert 40", "facts [True]"]
    assert list(collection.images) == IDS.tolist()
    assert report.num_in_collection == NUM_IMAGES
    assert report.facts == collection.facts
    collection.asked.clear()
    load_into(collection, tmp_path / "E", progress=False)
    assert collection.asked == ["facts [False]", "upsert 40", "upsert 40", "upsert 40", "facts [True]"]


def test_a_shard_that_is_lost_on_the_way(tmp_path):
    collection, folder = Recorded(), write_catalogue(tmp_path / "E")
    shard = folder / "embeddings-00002.parquet"
    whole = collection.upsert

    def upsert(blocks):
        whole(block for block in blocks if shard.unlink(missing_ok=True) is None)

    collection.upsert = upsert
    with pytest.raises(FileNotFoundError, match="the manifest names it"):
        load_into(collection, folder, progress=False)
    assert [load.is_finished for load in collection.facts.loads] == [False]


def test_an_engine_that_loses_images(tmp_path):
    collection = Recorded()
    collection.count = lambda: NUM_IMAGES - 1
    with pytest.raises(
        OSError, match="expected 120 images or more in collection 'images' after the load; it counts 119"
    ):
        load_into(collection, write_catalogue(tmp_path / "E"), progress=False)
    assert [load.is_finished for load in collection.facts.loads] == [False]


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ({"rows": ROWS[:4], "ids": ["a", "b", "c", "b"]}, "each id once .* more than once came b:"),
        ({"rows": ROWS[:0], "ids": []}, "expected embeddings"),
    ],
)
def test_what_is_refused_before_anything_is_written(tmp_path, folder, message):
    collection = Recorded()
    with pytest.raises(ValueError, match=message):
        load_into(collection, write_folder(tmp_path / "E", **folder), progress=False)
    assert collection.asked == []


def test_what_does_not_fit_is_refused(tmp_path):
    collection = Recorded()
    load_into(collection, write_catalogue(tmp_path / "E"), progress=False)
    collection.asked.clear()
    with pytest.raises(ValueError, match=r"other dimensions \(16 and 8\)"):
        load_into(collection, write_catalogue(tmp_path / "F", unit_rows(NUM_IMAGES, dim=8)), progress=False)
    with pytest.raises(ValueError, match="expected the columns of collection 'images', price, color; got none"):
        load_into(collection, write_folder(tmp_path / "G", ROWS, IDS), progress=False)
    assert collection.asked == []
