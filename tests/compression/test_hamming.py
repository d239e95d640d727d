"""Search of binary codes and rescoring, against faiss, numpy and loops over bits."""

import doctest

import faiss
import numpy as np
import pytest
import torch

from hf_vitret.compression import hamming
from hf_vitret.compression.hamming import hamming_neighbors, rescore
from hf_vitret.compression.quantization import pack_signs


def _unit(num_rows: int, dim: int, seed: int = 0) -> torch.Tensor:
    rows = torch.randn(num_rows, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=1)


def test_examples() -> None:
    result = doctest.testmod(hamming)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("part_size", [16, 16_384])
@pytest.mark.parametrize("k", [1, 10, 60])
def test_hamming_neighbours_are_those_of_faiss(k: int, part_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "_ROWS", part_size)
    queries, gallery = pack_signs(_unit(20, 24)), pack_signs(_unit(60, 24, seed=1))
    index = faiss.IndexBinaryFlat(24)
    index.add(gallery.numpy())
    distances, _ = index.search(queries.numpy(), k)
    scores, indices = hamming_neighbors(queries, gallery, 24, k)
    assert np.array_equal(scores, 24 - 2 * distances)
    # faiss has another order of ties; ours is by row.
    found = np.bitwise_count(queries.numpy()[:, None] ^ gallery.numpy()[None]).sum(axis=2)
    expected = np.lexsort((np.broadcast_to(np.arange(60), found.shape), found), axis=1)[:, :k]
    assert np.array_equal(indices, expected)


@pytest.mark.parametrize("dim", [1, 15, 16, 255, 256, 1_024])
def test_ties_are_ordered_by_row_in_full_parts(dim: int) -> None:
    """The fractions that order ties are as small as a float32 can add to the score, and none may be lost."""
    codes = pack_signs(torch.ones(20_000, dim))
    opposite = pack_signs(-torch.ones(1, dim))
    for query, score in ((codes[:1], dim), (opposite, -dim)):
        scores, indices = hamming_neighbors(query, codes, dim, 20_000)
        assert (scores == score).all()
        assert torch.equal(indices[0], torch.arange(20_000))


@pytest.mark.parametrize("part_size", [4, 16_384])
def test_own_ids_are_left_out(part_size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "_ROWS", part_size)
    codes = pack_signs(_unit(10, 16))
    ids = [f"image {number // 2}" for number in range(10)]
    scores, indices = hamming_neighbors(codes, codes, 16, 10, query_ids=ids, gallery_ids=ids)
    assert (indices[:, :8] >= 0).all()
    assert (indices[:, 8:] == -1).all()
    assert (scores[:, 8:] == -torch.inf).all()
    for row, found in enumerate(indices[:, :8].tolist()):
        assert sorted(found) == [other for other in range(10) if other // 2 != row // 2]


@pytest.mark.parametrize("at_once", [1, 130, 10_000])
def test_rescoring_is_the_float_query_with_the_bits(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "_ENTRIES", at_once)
    queries, gallery = _unit(6, 20), _unit(9, 20, seed=1)
    indices = torch.tensor([[0, 8, 3], [1, -1, -1], [5, 5, 2], [7, 0, -1], [4, 3, 2], [6, 1, 0]])
    scores = rescore(queries, pack_signs(gallery), indices)
    for query in range(6):
        for place, item in enumerate(indices[query].tolist()):
            signs = [1.0 if value > 0 else -1.0 for value in gallery[item].tolist()]
            expected = sum(a * b for a, b in zip(queries[query].tolist(), signs, strict=True)) / 20**0.5
            assert float(scores[query, place]) == pytest.approx(expected if item >= 0 else -np.inf, abs=1e-7)


def test_equal_codes_score_equally() -> None:
    queries = _unit(200, 384)
    codes = pack_signs(_unit(1, 384, seed=1)).repeat(50, 1)
    scores = rescore(queries, codes, torch.arange(50).repeat(200, 1))
    assert (scores == scores[:, :1]).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: rescore(torch.ones(2, 8), torch.zeros(3, 1, dtype=torch.uint8), torch.tensor([[3], [0]])),
            ValueError,
            "rows of a gallery of 3, or -1 for none; got 0 to 3",
        ),
        (
            lambda: rescore(torch.ones(2, 8), torch.zeros(3, 1, dtype=torch.uint8), torch.tensor([[0]])),
            ValueError,
            r"\(num_queries, k\) for 2 queries; got shape \(1, 1\)",
        ),
    ],
)
def test_wrong_input_is_named(call, error, message) -> None:
    with pytest.raises(error, match=message):
        call()
