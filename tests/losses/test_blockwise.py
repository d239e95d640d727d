"""Losses that form their gradient in the forward pass: nothing is kept for backward, and it runs once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hf_vitret.losses import ContrastiveLoss, PairLoss, SmoothRecallLoss, SupConLoss

MakeBatch = Callable[..., tuple[Tensor, Tensor]]

LOSSES = [ContrastiveLoss(), SupConLoss(), SupConLoss(denominator="negatives"), SmoothRecallLoss()]


@pytest.fixture(params=LOSSES, ids=repr)
def loss(request: pytest.FixtureRequest) -> PairLoss:
    return request.param


def test_references_overwritten_before_backward_change_nothing(loss: PairLoss, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(6)
    refs, ref_labels = make_batch(9, seed=4)
    first, second = (embeddings.clone().requires_grad_() for _ in range(2))
    loss(first, labels, refs, ref_labels).backward()
    value = loss(second, labels, refs, ref_labels)
    refs.zero_()
    value.backward()
    assert torch.equal(first.grad, second.grad)


def test_second_derivative_is_refused(loss: PairLoss, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(8)
    embeddings.requires_grad_()
    (grad,) = torch.autograd.grad(loss(embeddings, labels) ** 2, embeddings, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_compiled_equals_eager(loss: PairLoss, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(6)
    ours, theirs = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    expected, value = loss(ours, labels), torch.compile(loss, backend="eager")(theirs, labels)
    assert torch.equal(value, expected)
    expected.backward()
    value.backward()
    assert torch.equal(theirs.grad, ours.grad)
