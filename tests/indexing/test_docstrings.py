"""The examples in the docstrings of this room give what they say."""

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["embedding_map", "image_index", "index_choice", "match_threshold", "metadata_filter"])
def test_examples(name):
    result = doctest.testmod(import_module(f"hf_vitret.indexing.{name}"))
    assert result.attempted > 0
    assert result.failed == 0
