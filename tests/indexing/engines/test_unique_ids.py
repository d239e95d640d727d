"""Ids that come twice are found and named; ids that only share a hash are not."""

import numpy as np
import pytest

from hf_vitret.embedding.shards import EmbeddingFolder
from hf_vitret.indexing.engines import unique_ids
from hf_vitret.indexing.engines.unique_ids import check_folder_ids
from tests.indexing.vectors import unit_rows, write_folder


def test_repeated_ids_are_named(tmp_path):
    ids = [f"image {row}" for row in range(90)]
    ids[77] = ids[3]
    folder = EmbeddingFolder(write_folder(tmp_path / "E", unit_rows(90), ids))
    with pytest.raises(ValueError, match="more than once came image 3: an engine keeps one"):
        check_folder_ids(folder)


@pytest.mark.parametrize("repeated", [False, True])
def test_a_shared_hash_is_not_an_id(tmp_path, monkeypatch, repeated):
    monkeypatch.setattr(unique_ids, "_hashed", lambda ids: np.array([len(each) for each in ids], dtype=np.uint64))
    ids = ["a", "b", "cc", "dd", "b" if repeated else "eee", "fff"]
    folder = EmbeddingFolder(write_folder(tmp_path / "E", unit_rows(6), ids))
    if repeated:
        with pytest.raises(ValueError, match="came b:"):
            check_folder_ids(folder)
    else:
        check_folder_ids(folder)
