import faiss
import numpy as np
import pytest
from datasets import Dataset

from hf_vitret.indexing.dataset_bridge import attach_index
from hf_vitret.indexing.image_index import ImageIndex
from tests.indexing.vectors import brute_force, unit_rows

ROWS, QUERIES = unit_rows(50), unit_rows(4, seed=1) * 3  # of any norm: an inner product is no distance
IDS = [f"photo-{row}" for row in range(50)]


@pytest.fixture(params=["faiss", "torch"])
def index(request):
    return ImageIndex.build(ROWS, IDS, backend=request.param)


def shuffled():
    """The images in another order, with two that were not embedded."""
    order = np.random.default_rng(2).permutation(50)
    ids = ["broken-0", *(IDS[row] for row in order), "broken-1"]
    return Dataset.from_dict({"image_id": ids, "number": [-1, *order.tolist(), -1]})


def test_the_nearest_rows_are_found_by_id(index):
    dataset = attach_index(shuffled(), index)
    expected_scores, expected = brute_force(QUERIES, ROWS, 6)
    for query, scores, wanted in zip(QUERIES, expected_scores, expected, strict=True):
        found = dataset.get_nearest_examples("embedding", query, k=6)
        np.testing.assert_allclose(found.scores, scores, rtol=1e-5)
        assert found.examples["number"] == wanted.tolist()
        assert found.examples["image_id"] == [IDS[row] for row in wanted]
    batch = dataset.get_nearest_examples_batch("embedding", QUERIES, k=6)
    assert [each["number"] for each in batch.total_examples] == expected.tolist()
    assert dataset.list_indexes() == ["embedding"]


def test_it_is_what_datasets_finds_by_an_inner_product_of_its_own(index):
    dataset = Dataset.from_dict({"image_id": IDS, "vector": ROWS.tolist()})
    dataset.add_faiss_index_from_external_arrays(
        external_arrays=ROWS, index_name="theirs", metric_type=faiss.METRIC_INNER_PRODUCT
    )
    attach_index(dataset, index, "ours")
    for query in QUERIES:
        ours, theirs = (dataset.get_nearest_examples(name, query, k=5) for name in ("ours", "theirs"))
        assert ours.examples["image_id"] == theirs.examples["image_id"]
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=1e-5)


def test_a_removed_image_is_not_found(index):
    index.remove([IDS[0]])
    dataset = attach_index(shuffled(), index)
    found = dataset.get_nearest_examples("embedding", ROWS[0], k=50)
    assert len(found.scores) == len(found.examples["number"]) == 49
    assert 0 not in found.examples["number"]


def test_it_is_saved_as_an_index(index, tmp_path):
    dataset = attach_index(shuffled(), index)
    dataset.get_index("embedding").save(tmp_path / "index")
    assert len(ImageIndex.load(tmp_path / "index")) == 50


def test_what_does_not_belong_together_is_refused(index):
    dataset = shuffled()
    with pytest.raises(ValueError, match="expected a column of image_id, number"):
        attach_index(dataset, index, id_column="id")
    with pytest.raises(ValueError, match="1 images of the index are not in the data set, such as photo-"):
        attach_index(dataset.select([0, *range(2, 52)]), index)
    with pytest.raises(ValueError, match="some occur twice"):
        attach_index(dataset.select([1, *range(52)]), index)
    with pytest.raises(TypeError, match="expected ids that are strings"):
        attach_index(dataset.add_column("row", list(range(52))), index, id_column="row")
    assert dataset.list_indexes() == []
