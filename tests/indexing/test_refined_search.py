"""Against the functions of `hf_vitret.search` over the whole gallery."""

import numpy as np
import pytest
import torch

from hf_vitret import expand_queries, nearest_neighbors, rerank_reciprocal
from hf_vitret.indexing.image_index import ImageIndex
from hf_vitret.indexing.refined_search import expanded_search, reranked_search
from tests.indexing.vectors import unit_rows

ROWS, QUERIES = torch.from_numpy(unit_rows(80, dim=8)), torch.from_numpy(unit_rows(7, dim=8, seed=1))


@pytest.fixture(params=["faiss", "torch"])
def index(request):
    return ImageIndex.build(ROWS, range(80), metadata={"part": [row % 2 for row in range(80)]}, backend=request.param)


def test_expanded_queries_are_those_of_the_whole_gallery(index):
    near = nearest_neighbors(QUERIES, ROWS, 5)
    expected = nearest_neighbors(expand_queries(QUERIES, ROWS, *near, alpha=2.0), ROWS, 9)
    scores, positions = expanded_search(index, QUERIES, 9, num_neighbors=5, alpha=2.0)
    np.testing.assert_allclose(scores, expected[0].numpy(), atol=1e-6)
    assert np.array_equal(positions, expected[1].numpy())


def test_re_ranking_all_is_that_of_the_whole_gallery(index):
    own = torch.arange(80)
    graph = nearest_neighbors(ROWS, ROWS, 6, query_ids=own, gallery_ids=own)
    for row in range(len(QUERIES)):
        query = QUERIES[row : row + 1]
        # In the order in which the index hands the candidates over, so that equal distances stay as they are.
        expected = rerank_reciprocal(query, ROWS, *nearest_neighbors(query, ROWS, 80), *graph, k1=6, k2=3)
        scores, positions = reranked_search(index, query, 80, num_candidates=80, k1=6, k2=3)
        np.testing.assert_allclose(scores, expected[0].numpy(), atol=1e-5)
        assert np.array_equal(np.sort(positions), np.sort(expected[1].numpy()))
        assert (positions == expected[1].numpy()).mean() > 0.95


def test_re_ranking_keeps_to_the_candidates(index):
    candidates = index.search_positions(QUERIES, 12)[1]
    scores, positions = reranked_search(index, QUERIES, 5, num_candidates=12)
    assert all(set(found) <= set(near) for found, near in zip(positions.tolist(), candidates.tolist()))
    assert (np.diff(scores, axis=1) <= 0).all()


@pytest.mark.parametrize("search", [expanded_search, reranked_search])
@pytest.mark.parametrize(("where", "num_found"), [("part=1", 10), ("part=7", 0)])
def test_filters_hold_for_both_searches(index, search, where, num_found):
    scores, positions = search(index, QUERIES, 10, where=where)
    assert (positions >= 0).sum(axis=1).tolist() == [num_found] * 7
    assert (positions[positions >= 0] % 2 == 1).all()
    assert np.isneginf(scores[positions < 0]).all()


def test_one_image_is_found_as_it_is():
    index = ImageIndex.build(ROWS[:1], ["only"])
    scores, positions = reranked_search(index, QUERIES, 2)
    assert positions.tolist() == [[0, -1]] * 7
    np.testing.assert_allclose(scores[:, 0], (QUERIES @ ROWS[0]).numpy(), atol=1e-6)
