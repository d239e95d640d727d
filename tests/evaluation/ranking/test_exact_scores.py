"""Exact scores against rational arithmetic, and float32 products against the bound of their error."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch

from hf_vitret.evaluation.ranking import exact_scores as module
from hf_vitret.evaluation.ranking.exact_scores import ExactScores, error_bound


def rows(num_rows, dim, seed, positive=False):
    table = torch.randn(num_rows, dim, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(table.abs() + 1 if positive else table, dim=1)


def rational(query, item):
    return sum(Fraction(a) * Fraction(b) for a, b in zip(query.tolist(), item.tolist()))


@pytest.mark.parametrize("chunks", [(1_024, 8_192), (2, 3)])
def test_pairs_and_rows_are_the_rational_number_rounded(chunks, monkeypatch):
    for name, size in zip(("_ROWS", "_COLUMNS"), chunks):
        monkeypatch.setattr(module, name, size)
    queries, gallery = rows(5, 70, 0), rows(11, 70, 1)
    right = [[np.float32(float(rational(query, item))) for item in gallery] for query in queries]
    exact = ExactScores(queries, gallery)
    assert np.array_equal(exact.of_rows().numpy(), right)
    assert np.array_equal(exact.of_rows(torch.tensor([4, 0])).numpy(), [right[4], right[0]])
    query, item = torch.meshgrid(torch.arange(5), torch.arange(11), indexing="ij")
    pairs = exact.of_pairs(query.flatten(), item.flatten())
    assert np.array_equal(pairs.view(5, 11).numpy(), right)
    assert torch.equal(exact.transposed.of_rows(), exact.of_rows().T)


@pytest.mark.parametrize("dim", [3, 384, 2_048])
@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("num_rows", [1, 7, 64])
def test_a_float32_product_of_any_shape_lies_within_the_bound(dim, positive, num_rows):
    queries, gallery = rows(num_rows, dim, 2, positive) * 3.0, rows(100, dim, 3, positive) / 5.0
    error = ((queries @ gallery.T).double() - queries.double() @ gallery.double().T).abs().max()
    assert error <= error_bound(dim) * 3.0 / 5.0


def test_the_worst_order_of_addition_lies_within_the_bound_and_comes_near_it():
    """Sum 1 and then numbers of half a last digit, each of which is rounded away when it is added in this order."""
    dim = 4_096
    query = np.full(dim, 2.0**-24, dtype=np.float32)
    query[0] = 1.0
    total = np.float32(0)
    for number in query:
        total += number  # products with ones
    right = math.fsum(query.tolist())
    # With ones, the product of the norms is larger than needed by a factor of dim; the bound is compared with the sum
    # itself.
    assert 0.9 * (dim - 1) * 2.0**-24 <= right - float(total) <= error_bound(dim) * right
