import numpy as np
import pytest
import torch

from hf_vitret.search.exact_codes import exact_codes

EDGES = [-(2**63), -1, 0, 2**24 + 1, 100_000_001, 2**63 - 1]


@pytest.mark.parametrize("form", [list, np.array, torch.tensor, lambda values: np.array(values, dtype=object)])
def test_integers_are_kept(form):
    (codes,) = exact_codes(form(EDGES), name="labels")
    assert codes.dtype == torch.int64
    assert codes.tolist() == EDGES


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.bool, torch.uint64])
def test_every_integer_type_is_taken(dtype):
    assert exact_codes(torch.tensor([0, 1], dtype=dtype), name="labels")[0].tolist() == [0, 1]


def test_codes_are_equal_exactly_where_the_values_are_on_both_sides():
    left, right = ["b", "a", "b", ("x", 1)], ["c", "a", ("x", 1)]
    codes = exact_codes(left, right, name="ids")
    for a, code_a in zip(left, codes[0].tolist(), strict=True):
        for b, code_b in zip(right, codes[1].tolist(), strict=True):
            assert (a == b) == (code_a == code_b)


def test_numpy_strings_are_those_of_a_list():
    assert exact_codes(np.array(["a", "b"]), ["b"], name="ids")[1].tolist() == [1]


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ("abc", TypeError, "the one string 'abc'"),
        (np.array([2**63], dtype=np.uint64), ValueError, "below 2"),
        (torch.tensor([2**63], dtype=torch.uint64), ValueError, "below 2"),
        ([torch.tensor(1)], TypeError, "floats or tensors"),
        (np.zeros((2, 2), dtype=int), ValueError, r"got shape \(2, 2\)"),
    ],
)
def test_what_is_not_exact_is_refused(values, error, message):
    with pytest.raises(error, match=message):
        exact_codes(values, name="labels")
