"""What every loss of pairs promises, for each that can be chosen by name."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hf_vitret.losses import PAIR_LOSSES, NormalizedSoftmaxLoss, SupConLoss

MakeBatch = Callable[..., tuple[Tensor, Tensor]]

CLASSES, DIM = 3, 8


def build_negatives() -> nn.Module:
    return SupConLoss(denominator="negatives")


def build_proxies() -> nn.Module:
    loss = NormalizedSoftmaxLoss(CLASSES, DIM)
    loss.proxies.data.copy_(torch.randn(CLASSES, DIM, generator=torch.Generator().manual_seed(7)))
    return loss


BUILDERS = {**PAIR_LOSSES, "supcon, negatives": build_negatives, "normalized_softmax": build_proxies}
COMPARING = [name for name in BUILDERS if name != "normalized_softmax"]


@pytest.fixture(params=BUILDERS)
def loss(request: pytest.FixtureRequest) -> nn.Module:
    return BUILDERS[request.param]()


@pytest.fixture(params=COMPARING)
def comparing(request: pytest.FixtureRequest) -> nn.Module:
    return BUILDERS[request.param]()


def test_choices_are_named_by_their_terms() -> None:
    assert list(PAIR_LOSSES) == ["contrastive", "supcon", "normalized_softmax", "smooth_recall"]
    assert {name: loss.term for name, loss in PAIR_LOSSES.items()} == {name: name for name in PAIR_LOSSES}
    assert [name for name, loss in PAIR_LOSSES.items() if not loss.uses_references] == ["normalized_softmax"]


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_mean_over_processes_equals_the_whole(shards: int, loss: nn.Module, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(12)
    labels[5] = CLASSES - 1 if loss.__class__ is NormalizedSoftmaxLoss else 99  # one without a positive
    whole = embeddings.clone().requires_grad_()
    expected = loss(whole, labels)
    expected.backward()
    expected_grads = [parameter.grad.clone() for parameter in loss.parameters()]
    loss.zero_grad()

    parts = embeddings.clone().requires_grad_()
    total = torch.zeros(())
    for rows in torch.arange(12).chunk(shards):
        total = total + loss(parts[rows], labels[rows], parts, labels, self_index=rows) / shards
    total.backward()
    torch.testing.assert_close(total, expected, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(parts.grad, whole.grad, rtol=1e-5, atol=1e-6)
    for parameter, expected_grad in zip(loss.parameters(), expected_grads):
        torch.testing.assert_close(parameter.grad, expected_grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_computes_in_float32_whatever_comes_in(dtype: torch.dtype, loss: nn.Module, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(10)
    refs, ref_labels = make_batch(14, seed=2)
    low, low_refs = embeddings.to(dtype).requires_grad_(), refs.to(dtype).requires_grad_()
    expected = loss(low.detach().float(), labels, low_refs.detach().float(), ref_labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(low, labels, low_refs, ref_labels)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == expected.item()
    assert low.grad.dtype == dtype
    assert low.grad.abs().sum() > 0
    assert not type(loss).uses_references or low_refs.grad.dtype == dtype


def test_autocast_does_not_change_the_gradient(loss: nn.Module, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(10)
    plain, under = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    loss(plain, labels).backward()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(under, labels)
    value.backward()
    assert torch.equal(plain.grad, under.grad)


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 0], [0, 1, 2, 2]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_identical_images_are_finite(dtype: torch.dtype, labels: list[int], loss: nn.Module) -> None:
    embeddings = nn.functional.normalize(torch.ones(4, DIM), dim=1).to(dtype).requires_grad_()
    value = loss(embeddings, torch.tensor(labels))
    value.backward()
    assert value.isfinite()
    assert embeddings.grad.isfinite().all()


def test_no_references_is_zero_and_connected(comparing: nn.Module, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(4)
    embeddings.requires_grad_()
    value = comparing(embeddings, labels, torch.empty(0, DIM), torch.empty(0, dtype=torch.int64))
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(embeddings.grad, torch.zeros(4, DIM))


def test_one_image_alone_is_zero_and_connected(comparing: nn.Module, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(1)
    embeddings.requires_grad_()
    value = comparing(embeddings, labels)
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(embeddings.grad, torch.zeros(1, DIM))


def test_value_without_gradient_is_the_same(loss: nn.Module, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(9)
    embeddings.requires_grad_()
    expected = loss(embeddings, labels)
    with torch.no_grad():
        value = loss(embeddings, labels)
    assert not value.requires_grad
    assert value.item() == expected.item()


def test_references_without_gradient_get_none(comparing: nn.Module, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(6)
    refs, ref_labels = make_batch(9, seed=4)
    both, alone = (embeddings.clone().requires_grad_() for _ in range(2))
    comparing(both, labels, refs.clone().requires_grad_(), ref_labels).backward()
    comparing(alone, labels, refs, ref_labels).backward()
    assert torch.equal(both.grad, alone.grad)
    rows = refs.clone().requires_grad_()
    comparing(embeddings, labels, rows, ref_labels).backward()
    assert rows.grad.abs().sum() > 0
    assert embeddings.grad is None


def test_references_overwritten_before_backward_change_nothing(comparing: nn.Module, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(6)
    refs, ref_labels = make_batch(9, seed=4)
    first, second = (embeddings.clone().requires_grad_() for _ in range(2))
    comparing(first, labels, refs, ref_labels).backward()
    value = comparing(second, labels, refs, ref_labels)
    refs.zero_()
    value.backward()
    assert torch.equal(first.grad, second.grad)


def test_not_a_number_comes_through(loss: nn.Module, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(8)
    embeddings[2, 1] = math.nan
    assert loss(embeddings, labels).isnan()


def test_second_derivative_is_refused(comparing: nn.Module, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(8)
    embeddings.requires_grad_()
    (grad,) = torch.autograd.grad(comparing(embeddings, labels) ** 2, embeddings, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_order_of_references_changes_nothing(comparing: nn.Module, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(8)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
    value = comparing(embeddings, labels, embeddings[order], labels[order], self_index=order.argsort())
    torch.testing.assert_close(value, comparing(embeddings, labels))
