import doctest

import pytest
import torch

from hf_vitret.search import entry_positions as module
from hf_vitret.search.entry_positions import positions_in_rows, true_positions


def test_examples():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("shape", [(3, 8), (600, 16), (5, 4096)])
@pytest.mark.parametrize("density", [0.0, 0.01, 1.0])
def test_true_positions_are_those_of_nonzero(shape, density):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < density
    assert torch.equal(torch.stack(true_positions(mask), dim=1), mask.nonzero())


def test_entries_are_numbered_as_a_loop_numbers_them():
    rows = torch.randint(0, 9, (40,), generator=torch.Generator().manual_seed(0)).sort().values
    expected, seen = [], {}
    for row in rows.tolist():
        expected.append(seen.get(row, 0))
        seen[row] = expected[-1] + 1
    assert positions_in_rows(rows, rows.bincount(minlength=12)).tolist() == expected
