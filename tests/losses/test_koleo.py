"""KoLeoLoss against a double loop and closed forms, and on degenerate batches, where -log(rho) is infinite."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hf_vitret.losses import KoLeoLoss, koleo

MakeBatch = Callable[..., tuple[Tensor, Tensor]]
Oracle = Callable[..., Tensor]


def test_four_points_by_hand(circle: tuple[Tensor, Tensor]) -> None:
    # Chords: 0-60 degrees 1, 60-90 and back 2 sin(15 deg), 90-180 sqrt(2).
    expected = -(math.log(1.0) + 2 * math.log(2 * math.sin(math.pi / 12)) + math.log(math.sqrt(2))) / 4
    assert KoLeoLoss()(*circle).item() == pytest.approx(expected, abs=1e-6)


def test_four_points_among_negatives_by_hand(circle: tuple[Tensor, Tensor]) -> None:
    # Nearest of the other class: 0-90 degrees, 60-90, 90-60, 180-60 (chord sqrt(3)).
    chords = [math.sqrt(2), 2 * math.sin(math.pi / 12), 2 * math.sin(math.pi / 12), math.sqrt(3)]
    expected = -sum(math.log(chord) for chord in chords) / 4
    assert KoLeoLoss("negatives")(*circle).item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("neighbors", ["all", "negatives"])
@pytest.mark.parametrize("refs", ["itself", "own rows inside", "others"])
def test_equals_the_double_loop(refs: str, neighbors: str, make_batch: MakeBatch, naive_koleo: Oracle) -> None:
    embeddings, labels = make_batch(9, seed=1)
    others, other_labels = make_batch(14, seed=2)
    own_rows: list[int | None] = list(range(9))
    ref_values, ref_labels = embeddings, labels
    if refs == "own rows inside":
        order = torch.randperm(23, generator=torch.Generator().manual_seed(3))
        ref_values, ref_labels = (
            torch.cat([embeddings, others])[order],
            torch.cat([labels, other_labels])[order],
        )
        own_rows = order.argsort()[:9].tolist()
    elif refs == "others":
        own_rows, ref_values, ref_labels = [None] * 9, others, other_labels

    exact, exact_refs = embeddings.double().requires_grad_(), ref_values.double().requires_grad_()
    expected = naive_koleo(exact, labels.tolist(), exact_refs, ref_labels.tolist(), own_rows, neighbors == "negatives")
    expected.backward()

    anchors, ref_anchors = embeddings.clone().requires_grad_(), ref_values.clone().requires_grad_()
    loss = KoLeoLoss(neighbors)
    if refs == "itself":
        value, expected_grad = loss(anchors, labels), exact.grad + exact_refs.grad
    else:
        index = None if own_rows[0] is None else torch.tensor(own_rows)
        value = loss(anchors, labels, ref_anchors, ref_labels, self_index=index)
        expected_grad = exact.grad
    value.backward()
    assert value.item() == pytest.approx(expected.item(), abs=1e-5)
    torch.testing.assert_close(anchors.grad.double(), expected_grad, atol=1e-5, rtol=1e-5)
    if refs != "itself":
        torch.testing.assert_close(ref_anchors.grad.double(), exact_refs.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("neighbors", ["all", "negatives"])
@pytest.mark.parametrize("rows", [2, 5])
def test_constant_batch_is_finite_with_no_gradient(rows: int, neighbors: str) -> None:
    embeddings = torch.tensor([[0.6, 0.8]]).repeat(rows, 1).requires_grad_()
    value = KoLeoLoss(neighbors, eps=1e-4)(embeddings, torch.arange(rows))
    value.backward()
    assert value.item() == pytest.approx(-math.log(1e-4), abs=1e-4)
    assert torch.equal(embeddings.grad, torch.zeros(rows, 2))


@pytest.mark.parametrize("distance", [0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_gradient_stays_under_its_bound(distance: float, dtype: torch.dtype) -> None:
    eps = 1e-4
    embeddings = torch.tensor([[1.0, 0.0], [1.0, distance]]).to(dtype).requires_grad_()
    value = KoLeoLoss(eps=eps)(embeddings, torch.tensor([0, 1]))
    value.backward()
    assert value.isfinite()
    # Two anchors, each with weight 1/2, seen from both ends.
    assert embeddings.grad.float().norm(dim=1).max() <= 1 / (2 * eps) * 1.01


def test_nearly_collapsed_points_are_still_pushed_apart() -> None:
    # sqrt(2 - 2 s) is 0 here in float32: only the difference of the vectors sees them.
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 1e-5]]).requires_grad_()
    KoLeoLoss()(embeddings, torch.tensor([0, 0])).backward()
    assert embeddings.grad[0, 1] > 1.0
    assert embeddings.grad[1, 1] < -1.0


def test_default_is_the_paper_formula_for_points_apart() -> None:
    for distance in (0.01, 0.1, 1.0):
        embeddings = torch.tensor([[1.0, 0.0], [1.0, distance]])
        assert KoLeoLoss()(embeddings, torch.tensor([0, 1])).item() == pytest.approx(-math.log(distance), abs=6e-5)


@pytest.mark.parametrize(("neighbors", "labels"), [("all", [3]), ("negatives", [3]), ("negatives", [1, 1, 1, 1])])
def test_no_neighbour_at_all_is_zero_and_connected(neighbors: str, labels: list[int], make_batch: MakeBatch) -> None:
    embeddings = make_batch(len(labels))[0].requires_grad_()
    value = KoLeoLoss(neighbors)(embeddings, torch.tensor(labels))
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(embeddings.grad, torch.zeros_like(embeddings))


def test_anchors_without_neighbour_are_left_out_of_the_mean() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    refs = torch.tensor([[0.6, 0.8]])
    value = KoLeoLoss("negatives")(embeddings, torch.tensor([0, 1]), refs, torch.tensor([0]))
    assert value.item() == pytest.approx(-math.log(math.sqrt(0.4)), abs=1e-6)  # the second anchor alone


def test_uniform_points_score_lower_than_clustered(make_batch: MakeBatch) -> None:
    angles = torch.arange(16) * 2 * math.pi / 16
    even = torch.stack([angles.cos(), angles.sin()], dim=1)
    value = KoLeoLoss()(even, torch.arange(16)).item()
    assert value == pytest.approx(-math.log(2 * math.sin(math.pi / 16)), abs=1e-5)
    assert value < KoLeoLoss()(make_batch(16, dim=2)[0], torch.arange(16)).item()


@pytest.mark.parametrize("eps", [0.0, -1e-8, math.nan, math.inf])
def test_eps_that_bounds_nothing_is_refused(eps: float) -> None:
    with pytest.raises(ValueError, match="eps above 0"):
        KoLeoLoss(eps=eps)


def test_unknown_neighbours_are_refused() -> None:
    with pytest.raises(ValueError, match="neighbors to be one of"):
        KoLeoLoss("positives")


@pytest.mark.parametrize("neighbors", ["all", "negatives"])
@pytest.mark.parametrize("refs", ["itself", "own rows inside", "others"])
def test_anchors_in_blocks_have_the_same_neighbours(
    refs: str, neighbors: str, make_case: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(refs)
    index = None if case.own_rows[0] is None else torch.tensor(case.own_rows)
    values = []
    for rows in (1, 3, 7, 1024):
        monkeypatch.setattr(koleo, "_ROWS", rows)
        loss = KoLeoLoss(neighbors)(case.embeddings, case.labels, case.refs, case.ref_labels, self_index=index)
        values.append(loss.item())
    assert len(set(values)) == 1


def test_memory_of_a_large_batch_is_one_block(make_batch: MakeBatch, largest_tensor: Callable) -> None:
    embeddings, labels = make_batch(2500, dim=4, classes=5)
    embeddings.requires_grad_()
    with largest_tensor() as largest:
        KoLeoLoss("negatives")(embeddings, labels).backward()
    assert largest.numel == koleo._ROWS * 2500 < 2500 * 2500
