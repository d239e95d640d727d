"""What a collection says of itself, through JSON, and what is refused of what is found there."""

import json
from dataclasses import replace

import pytest

from hf_vitret.embedding.shards import EmbeddingFolder
from hf_vitret.files.checksums import sha256_of
from hf_vitret.indexing.engines.collection_facts import CollectionFacts
from tests.indexing.engines.catalogue import NUM_IMAGES, write_catalogue
from tests.indexing.vectors import MODEL


@pytest.fixture
def facts(tmp_path):
    return CollectionFacts.of(EmbeddingFolder(write_catalogue(tmp_path / "E")))


def test_they_are_those_of_the_manifest(tmp_path, facts):
    assert (facts.model, facts.dim, facts.normalized, facts.columns) == (MODEL, 16, True, ("price", "color"))
    (load,) = facts.loads
    assert load.manifest_sha256 == sha256_of(tmp_path / "E" / "manifest.json")
    assert (load.num_images, load.dtype, load.is_finished) == (NUM_IMAGES, "float32", False)
    content = json.loads(json.dumps(facts.finished(load).to_json()))
    assert CollectionFacts.from_json(content, "images") == facts.finished(load) != facts


def test_loads_come_once_each(facts):
    (first,) = facts.loads
    second = replace(first, manifest_sha256="f" * 64)
    both = facts.finished(first).joined_by(replace(facts, loads=(second,)), "images")
    assert [load.is_finished for load in both.loads] == [True, False]
    unfinished = facts.joined_by(replace(facts, loads=(second,)), "images")
    assert [load.is_finished for load in unfinished.finished(second).loads] == [False, True]
    again = both.finished(second).joined_by(facts, "images")
    assert again.loads == (first, replace(second, is_finished=True))


def test_unit_norm_is_a_part_of_it(facts):
    with pytest.raises(ValueError, match="only one of them has vectors with unit norm"):
        facts.joined_by(replace(facts, normalized=False), "images")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: None, "does not say whose embeddings"),
        (lambda content: {"a": 1}, "does not say whose embeddings"),
        (lambda content: {**content, "format_version": 2}, "expected format_version 1, got 2"),
        (lambda content: {**content, "model": None}, "are damaged"),
        (lambda content: {**content, "loads": [{"a": 1}]}, "are damaged"),
    ],
)
def test_what_is_not_ours(facts, change, message):
    with pytest.raises(ValueError, match=message):
        CollectionFacts.from_json(change(facts.to_json()), "images")
