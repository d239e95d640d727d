"""Bounds from a few leading dimensions: never below a score, and close to it if they hold nearly all of the length."""

import pytest
import torch

from hf_vitret.evaluation.ranking import leading_part as module
from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.leading_part import LeadingPart, choose_directions


def rows_of_few_directions(num_rows: int, rest: float, dim: int = 48, num_directions: int = 6) -> torch.Tensor:
    """Draw unit rows in a randomly rotated subspace of few dimensions, with a small component in all others."""
    generator = torch.Generator().manual_seed(5)
    turn = torch.linalg.qr(torch.randn(dim, dim, generator=generator)).Q
    scales = torch.cat([torch.ones(num_directions), torch.full((dim - num_directions,), rest)])
    return torch.nn.functional.normalize(torch.randn(num_rows, dim, generator=generator) * scales @ turn, dim=1)


@pytest.mark.parametrize("rest", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("num_leading", [8, 48])
def test_no_score_is_above_its_bound(rest, num_leading):
    rows = rows_of_few_directions(90, rest)
    moments = rows.double().T @ rows.double()
    part = LeadingPart.of(rows, torch.linalg.eigh(moments).eigenvectors.flip(1)[:, :num_leading])
    scores = rows[:40].double() @ rows[40:].double().T
    of_queries, of_items = part.bounds((0, 40), (40, 90), torch.empty(40, 50))
    assert (of_queries + 5e-6 >= scores.amax(dim=1)).all()  # 5e-6 for the error of products in float32
    assert (of_items + 5e-6 >= scores.amax(dim=0)).all()
    if rest == 0 or num_leading == 48:
        assert (of_queries - scores.amax(dim=1)).max() < 1e-4
        assert (of_items - scores.amax(dim=0)).max() < 1e-4


def test_a_narrower_part_is_that_of_fewer_directions():
    rows = rows_of_few_directions(90, 0.3)
    directions = torch.randn(48, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    directions = torch.linalg.qr(directions).Q
    narrow = LeadingPart.of(rows, directions).narrower(9)
    torch.testing.assert_close(narrow.rows, LeadingPart.of(rows, directions[:, :8]).rows)


def test_few_dimensions_are_chosen_if_they_hold_nearly_all_and_none_if_they_do_not():
    labels = torch.arange(5_000) // 4
    sizes = {}
    for rest, lowest in ((0.01, 0.999), (1.0, 0.5)):
        rows = rows_of_few_directions(5_000, rest)
        order = ClassOrder(rows, labels, rows, labels, None, is_own_gallery=True)
        directions = choose_directions(order, torch.full((5_000,), lowest))
        sizes[rest] = None if directions is None else directions.shape[1]
    assert sizes == {0.01: 7, 1.0: None}  # without the column for the remainders


def test_few_rows_are_not_worth_it():
    rows = rows_of_few_directions(1_000, 0.0)
    labels = torch.arange(1_000) // 4
    order = ClassOrder(rows, labels, rows, labels, None, is_own_gallery=True)
    assert len(rows) < module._SAMPLE_QUERIES + module._SAMPLE_ITEMS
    assert choose_directions(order, torch.full((1_000,), 0.99)) is None
