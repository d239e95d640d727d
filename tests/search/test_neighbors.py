import numpy as np
import pytest
import torch

from hf_vitret.search import nearest_neighbors
from hf_vitret.search.neighbors import merge_neighbors


def _sorted_neighbors(queries, gallery, k, query_ids=None, gallery_ids=None):
    """Sort the whole gallery for each query in float64: the higher score first, of ties the lower index."""
    scores = queries.double().numpy() @ gallery.double().numpy().T
    if query_ids is not None:
        scores[np.asarray(query_ids)[:, None] == np.asarray(gallery_ids)[None, :]] = -np.inf
    order = np.lexsort((np.broadcast_to(np.arange(len(gallery)), scores.shape), -scores), axis=1)[:, :k]
    scores = np.take_along_axis(scores, order, axis=1)
    indices = np.where(scores == -np.inf, -1, order)
    padding = ((0, 0), (0, k - order.shape[1]))
    return np.pad(scores, padding, constant_values=-np.inf), np.pad(indices, padding, constant_values=-1)


def _random(num_rows, seed):
    rows = torch.randn(num_rows, 24, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=1)


def _lattice(num_rows, seed):
    """Draw rows with few distinct scores, all exact in float32, so that many are tied."""
    return torch.randint(-1, 2, (num_rows, 4), generator=torch.Generator().manual_seed(seed)) / 2.0


@pytest.mark.parametrize("make", [_random, _lattice])
@pytest.mark.parametrize("k", [1, 5, 99, 100, 130])
@pytest.mark.parametrize(("num_queries", "chunks"), [(30, (1024, 16384)), (30, (7, 13)), (4, (1, 1))])
@pytest.mark.parametrize("num_ids", [None, 500, 8, 1])
def test_it_is_the_full_sort(make, k, num_queries, chunks, num_ids):
    queries, gallery = make(num_queries, 0), make(100, 1)
    ids = {}
    if num_ids is not None:
        generator = torch.Generator().manual_seed(2)
        ids["query_ids"] = torch.randint(0, num_ids, (num_queries,), generator=generator)
        ids["gallery_ids"] = torch.randint(0, num_ids, (100,), generator=generator)
    scores, indices = nearest_neighbors(
        queries, gallery, k, query_chunk_size=chunks[0], gallery_chunk_size=chunks[1], **ids
    )
    expected_scores, expected_indices = _sorted_neighbors(queries, gallery, k, *ids.values())
    assert (scores.dtype, indices.dtype) == (torch.float32, torch.int64)
    assert np.array_equal(indices.numpy(), expected_indices)
    np.testing.assert_allclose(scores.numpy(), expected_scores, atol=1e-6)


def test_exact_duplicates_under_other_ids_stay():
    gallery = _random(1, 0).repeat(4, 1)
    _, indices = nearest_neighbors(gallery, gallery, 4, query_ids=list("abcd"), gallery_ids=list("abcd"))
    assert indices.tolist() == [[1, 2, 3, -1], [0, 2, 3, -1], [0, 1, 3, -1], [0, 1, 2, -1]]


def test_ids_beyond_the_integers_of_a_float():
    gallery = _random(3, 0)
    ids = [2**62, 2**62 + 1, 2**62 + 2]
    _, indices = nearest_neighbors(gallery, gallery, 1, query_ids=ids, gallery_ids=ids)
    assert all(found != row for row, [found] in enumerate(indices.tolist()))


def test_half_precision_is_searched_in_float32():
    queries, gallery = _random(9, 0).bfloat16(), _random(50, 1).bfloat16()
    scores, indices = nearest_neighbors(queries, gallery, 10)
    expected = _sorted_neighbors(queries.float(), gallery.float(), 10)
    assert np.array_equal(indices.numpy(), expected[1])
    np.testing.assert_allclose(scores.numpy(), expected[0], atol=1e-6)


def test_scores_of_any_sign_and_size_are_sorted():
    gallery = torch.tensor([[-0.0], [0.0], [-1e-30], [1e-30], [-1e30], [1e30], [-2.0], [3.0]])
    scores, indices = nearest_neighbors(torch.ones(1, 1), gallery, 8)
    assert indices.tolist() == [[5, 7, 3, 0, 1, 2, 6, 4]]
    assert torch.equal(scores[0], gallery[indices[0], 0])


@pytest.mark.parametrize("make", [_random, _lattice])
@pytest.mark.parametrize("k", [1, 5, 130])
@pytest.mark.parametrize("cuts", [[], [40], [0, 3, 3, 60], [100]])
def test_parts_of_the_gallery_merge_to_the_whole(make, k, cuts):
    """Of ties between parts the lower row is first, and short lists are padded. A part may have no row."""
    queries, gallery, ids = make(30, 0), make(100, 1), torch.arange(130) % 50
    found = []
    for part, first in zip(torch.tensor_split(gallery, cuts), [0, *cuts], strict=True):
        if len(part) == 0:
            found.append((torch.full((30, k), -torch.inf), torch.full((30, k), -1)))
            continue
        gallery_ids = ids[30 + first : 30 + first + len(part)]
        scores, indices = nearest_neighbors(queries, part, k, query_ids=ids[:30], gallery_ids=gallery_ids)
        found.append((scores, torch.where(indices < 0, indices, indices + first)))
    scores, indices = merge_neighbors(found[::-1], k)
    expected = _sorted_neighbors(queries, gallery, k, ids[:30].tolist(), ids[30:].tolist())
    assert np.array_equal(indices.numpy(), expected[1])
    np.testing.assert_allclose(scores.numpy(), expected[0], atol=1e-6)


def test_the_merge_pads_a_list_with_fewer_than_k_neighbours():
    scores, indices = merge_neighbors([(torch.tensor([[0.5]]), torch.tensor([[3]]))], k=3)
    assert scores.tolist() == [[0.5, -np.inf, -np.inf]]
    assert indices.tolist() == [[3, -1, -1]]


def test_nothing_to_merge_is_refused():
    with pytest.raises(ValueError, match="found must have the neighbours in at least one part"):
        merge_neighbors([], k=1)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        merge_neighbors([(torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.int64))], k=0)


def test_faiss_agrees():
    faiss = pytest.importorskip("faiss")
    queries, gallery = _random(40, 0), _random(300, 1)
    index = faiss.IndexFlatIP(24)
    index.add(gallery.numpy())
    scores, indices = nearest_neighbors(queries, gallery, 20)
    their_scores, their_indices = index.search(queries.numpy(), 20)
    assert np.array_equal(indices.numpy(), their_indices)
    np.testing.assert_allclose(scores.numpy(), their_scores, atol=1e-6)


@pytest.mark.parametrize("name", ["k", "query_chunk_size", "gallery_chunk_size"])
def test_sizes_below_one_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        nearest_neighbors(torch.eye(2), torch.eye(2), **{"k": 1, name: 0})


@pytest.mark.parametrize(
    ("arguments", "ids", "error", "message"),
    [
        ((torch.eye(2), torch.eye(3)), {}, ValueError, "one embedding dimension, got 2 and 3"),
        ((torch.eye(2), torch.eye(2)[:0]), {}, ValueError, r"gallery_embeddings .* got shape \(0, 2\)"),
        ((torch.eye(2), torch.eye(2) / 0), {}, ValueError, "gallery_embeddings must be finite .* row 0, 1"),
        ((torch.eye(2).int(), torch.eye(2)), {}, TypeError, "query_embeddings must be a floating-point"),
        ((torch.eye(2), torch.eye(2)), {"query_ids": [1, 2]}, ValueError, "gallery_ids is missing"),
        (
            (torch.eye(2), torch.eye(2)),
            {"query_ids": [1], "gallery_ids": [1, 2]},
            ValueError,
            "query_ids must have one",
        ),
        ((torch.eye(2), torch.eye(2)), {"query_ids": [1.0, 2], "gallery_ids": [1, 2]}, TypeError, "ids must be int"),
    ],
)
def test_wrong_input_is_named(arguments, ids, error, message):
    with pytest.raises(error, match=message):
        nearest_neighbors(*arguments, k=1, **ids)
