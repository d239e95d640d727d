"""TupleContrastiveLoss against a loop over tuples and closed forms, and its sum over processes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from hf_vitret.losses import RetrievalLoss
from hf_vitret.losses.tuple_contrastive import TupleContrastiveLoss


def tuples(count: int = 4, num_negatives: int = 5, dim: int = 8, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw tuples with hard and easy negatives: (rows, dim) unit vectors and their labels."""
    generator = torch.Generator().manual_seed(seed)
    anchors = torch.randn(count, 1, dim, generator=generator)
    spread = torch.linspace(0.2, 1.5, 1 + num_negatives)[:, None]  # (1 + num_negatives, 1)
    others = anchors + spread * torch.randn(count, 1 + num_negatives, dim, generator=generator)
    labels = torch.arange(count)[:, None] * 10 + torch.tensor([0, 0, *range(1, 1 + num_negatives)])
    return normalize(torch.cat([anchors, others], dim=1), dim=2).flatten(0, 1), labels.flatten()


def naive(embeddings: Tensor, num_negatives: int, margin: float) -> Tensor:
    """Add the terms one by one, as the code that the paper builds on writes them."""
    total = embeddings.new_zeros(())
    for start in range(0, len(embeddings), 2 + num_negatives):
        anchor, positive, *negatives = embeddings[start : start + 2 + num_negatives]
        total = total + 0.5 * (anchor - positive + 1e-6).pow(2).sum()
        for negative in negatives:
            distance = (anchor - negative + 1e-6).pow(2).sum().sqrt()
            if distance < margin:
                total = total + 0.5 * (margin - distance) ** 2
    return total


@pytest.mark.parametrize(("num_negatives", "margin"), [(5, 0.85), (1, 0.5), (3, 2.0)])
def test_equals_the_loop_in_value_and_gradient(num_negatives: int, margin: float) -> None:
    embeddings, labels = tuples(num_negatives=num_negatives)
    exact = embeddings.double().requires_grad_()
    expected = naive(exact, num_negatives, margin)
    expected.backward()
    rows = embeddings.clone().requires_grad_()
    value = TupleContrastiveLoss(margin, num_negatives)(rows, labels)
    value.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(rows.grad.double(), exact.grad, atol=1e-6, rtol=1e-5)


def test_some_of_those_negatives_are_beyond_the_margin_and_some_not() -> None:
    embeddings, _ = tuples()
    rows = embeddings.view(4, 7, 8)
    inside = (rows[:, :1] - rows[:, 2:]).norm(dim=2) < 0.85
    assert 0 < inside.sum() < inside.numel()


def test_distances_by_hand() -> None:
    # Chords: 90 degrees sqrt(2), 60 degrees 1, 180 degrees 2. Two tuples, so that a mean would be half of it.
    angles = torch.tensor([0.0, 90.0, 60.0, 0.0, 180.0, 90.0]) * math.pi / 180
    embeddings = torch.stack([angles.cos(), angles.sin()], dim=1)
    labels = torch.tensor([0, 0, 1, 2, 2, 3])
    expected = (2.0 + (1.5 - 1.0) ** 2) / 2 + (4.0 + (1.5 - math.sqrt(2)) ** 2) / 2
    value = TupleContrastiveLoss(margin=1.5, num_negatives=1)(embeddings, labels)
    assert value.item() == pytest.approx(expected, abs=1e-5)


def test_beyond_the_margin_a_negative_has_no_gradient() -> None:
    embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.8, 0.6]]).requires_grad_()
    TupleContrastiveLoss(num_negatives=2)(embeddings, torch.tensor([0, 0, 1, 2])).backward()
    assert torch.equal(embeddings.grad[2], torch.zeros(2))
    assert embeddings.grad[3].norm() > 0.1


def test_a_collapsed_batch_has_a_finite_gradient() -> None:
    embeddings = torch.tensor([[0.6, 0.8]]).repeat(7, 1).requires_grad_()
    value = TupleContrastiveLoss()(embeddings, torch.tensor([0, 0, 1, 2, 3, 4, 5]))
    value.backward()
    assert value.item() == pytest.approx(5 * 0.85**2 / 2, abs=1e-4)
    assert embeddings.grad.isfinite().all()


def test_tuples_are_not_compared_with_each_other() -> None:
    embeddings, labels = tuples()
    loss = TupleContrastiveLoss()
    alone = sum(loss(embeddings[rows], labels[rows]).item() for rows in torch.arange(28).chunk(4))
    assert loss(embeddings, labels).item() == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("shards", [2, 4])
def test_mean_over_processes_is_the_sum_over_all_tuples(shards: int) -> None:
    embeddings, labels = tuples()
    loss = RetrievalLoss(koleo_weight=4.0, pair_loss=TupleContrastiveLoss())
    whole = embeddings.clone().requires_grad_()
    expected = loss(whole, labels)
    expected["loss"].backward()
    assert expected["loss"].item() == pytest.approx((expected["contrastive"] + 4 * expected["koleo"]).item())
    parts = embeddings.clone().requires_grad_()
    ranks = [loss(parts[rows], labels[rows], parts, labels, self_index=rows) for rows in torch.arange(28).chunk(shards)]
    (sum(rank["loss"] for rank in ranks) / shards).backward()
    for name, value in expected.items():
        torch.testing.assert_close(sum(rank[name] for rank in ranks) / shards, value)
    torch.testing.assert_close(parts.grad, whole.grad)


@pytest.mark.parametrize("margin", [0.0, -0.1, 2.1, math.nan, math.inf])
def test_margins_that_are_no_distance_are_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="margin above 0 and at most 2"):
        TupleContrastiveLoss(margin)


def test_settings_and_batches_that_make_no_tuples_are_refused() -> None:
    with pytest.raises(ValueError, match="num_negatives of at least 1"):
        TupleContrastiveLoss(num_negatives=0)
    embeddings, labels = tuples()
    with pytest.raises(ValueError, match=r"whole tuples of 7 rows .* got 27 rows"):
        TupleContrastiveLoss()(embeddings[:27], labels[:27])
    with pytest.raises(ValueError, match="memory_size=0 with TupleContrastiveLoss"):
        RetrievalLoss(memory_size=64, embedding_dim=8, pair_loss=TupleContrastiveLoss())
