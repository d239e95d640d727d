"""The examples in the docstrings of this package give what they say."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize(
    "name", ["building.index_choice", "image_index", "match_threshold", "metadata_filter", "migration.embedding_map"]
)
def test_examples(name):
    result = doctest.testmod(import_module(f"hf_vitret.indexing.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
