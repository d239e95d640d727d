"""What two folders share, against dictionaries."""

import numpy as np
import pytest

from hf_vitret.embedding.shards import EmbeddingFolder
from hf_vitret.indexing.migration.common_images import common_images
from tests.indexing.vectors import unit_rows, write_folder

OLD, NEW = unit_rows(90, dim=4), unit_rows(70, dim=5, seed=1)
OLD_IDS = [f"{row:02d}" for row in range(90)]
NEW_IDS = [f"{row:02d}" for row in np.random.default_rng(2).permutation(100)[:70]]


@pytest.fixture
def folders(tmp_path):
    old = write_folder(tmp_path / "old", OLD, OLD_IDS, {"kind": [row % 7 for row in range(90)]})
    new = write_folder(tmp_path / "new", NEW, NEW_IDS)
    return EmbeddingFolder(old), EmbeddingFolder(new)


@pytest.mark.parametrize("max_images", [1_000, 20])
def test_rows_belong_together(folders, max_images, monkeypatch):
    monkeypatch.setattr("hf_vitret.embedding.shards.ROWS_AT_ONCE", 11)
    found = common_images(*folders, label_column="kind", max_images=max_images)
    shared = [each for each in OLD_IDS if each in NEW_IDS]
    assert found.num_common == len(shared)
    assert len(found.old) == min(max_images, len(shared))
    old, new = dict(zip(OLD_IDS, OLD)), dict(zip(NEW_IDS, NEW))
    known = {old[each].tobytes(): each for each in shared}
    ids = [known[row.tobytes()] for row in found.old.numpy()]
    assert len(set(ids)) == len(ids)
    assert np.array_equal(found.new.numpy(), [new[each] for each in ids])
    assert found.labels.tolist() == [int(each) % 7 for each in ids]
    if max_images == 20:
        other = common_images(*folders, max_images=20, seed=1)
        assert not np.array_equal(other.old, found.old)


@pytest.mark.parametrize("label_column", [None, "kind"])
def test_what_is_held_out_is_apart(folders, label_column):
    found = common_images(*folders, label_column=label_column, max_images=1_000)
    fitted, held_out = found.split(0.3, seed=0)
    assert sorted([*fitted.tolist(), *held_out.tolist()]) == list(range(len(found.old)))
    if label_column is None:
        assert len(held_out) == round(0.3 * len(found.old))
    else:
        assert len(set(found.labels[held_out])) == 2
        assert not set(found.labels[held_out]) & set(found.labels[fitted])
    with pytest.raises(ValueError, match="to fit on some and hold out others"):
        found.split(0.001, seed=0)


def test_an_id_that_comes_twice_is_refused(folders, tmp_path):
    twice = EmbeddingFolder(write_folder(tmp_path / "twice", NEW[:4], ["00", "01", "00", "02"]))
    with pytest.raises(ValueError, match="more than once came 00"):
        common_images(folders[0], twice, max_images=10)


@pytest.mark.parametrize("values", [[0.5] * 70, [None, *range(69)]])
def test_labels_that_are_none_are_refused(folders, tmp_path, values):
    new = EmbeddingFolder(write_folder(tmp_path / "labelled", NEW, NEW_IDS, {"kind": values}))
    with pytest.raises(ValueError, match="expected integers or strings in the column kind"):
        common_images(folders[0], new, label_column="kind", max_images=10)
