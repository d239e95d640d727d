"""NormalizedSoftmaxLoss against a loop and pytorch-metric-learning, and with labels that have no proxy."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from pytorch_metric_learning.losses import NormalizedSoftmaxLoss as PeerNormalizedSoftmaxLoss
from torch import Tensor

from hf_vitret.losses import NormalizedSoftmaxLoss

MakeBatch = Callable[..., tuple[Tensor, Tensor]]


def test_equals_the_loop(make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(9, classes=5)
    loss = NormalizedSoftmaxLoss(num_classes=5, embedding_dim=8, temperature=0.2)
    exact, proxies = embeddings.double().requires_grad_(), loss.proxies.detach().double().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for i, label in enumerate(labels.tolist()):
        scores = [(exact[i] * proxies[c]).sum() / proxies[c].norm() / 0.2 for c in range(5)]
        total = total + sum(score.exp() for score in scores).log() - scores[label]
    expected = total / 9
    expected.backward()

    anchors = embeddings.clone().requires_grad_()
    value = loss(anchors, labels)
    value.backward()
    assert value.item() == pytest.approx(expected.item(), abs=1e-5)
    torch.testing.assert_close(anchors.grad.double(), exact.grad, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(loss.proxies.grad.double(), proxies.grad, atol=1e-5, rtol=1e-5)


def test_equals_pytorch_metric_learning(make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(24, dim=16, classes=5)
    ours = NormalizedSoftmaxLoss(num_classes=7, embedding_dim=16)
    theirs = PeerNormalizedSoftmaxLoss(num_classes=7, embedding_size=16, temperature=0.05)
    theirs.W.data.copy_(ours.proxies.data.t())
    value, expected = ours(embeddings, labels), theirs(embeddings, labels)
    torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
    value.backward()
    expected.backward()
    torch.testing.assert_close(ours.proxies.grad, theirs.W.grad.t(), atol=1e-5, rtol=1e-5)


def test_length_of_a_proxy_changes_nothing(make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(6)
    loss = NormalizedSoftmaxLoss(num_classes=3, embedding_dim=8)
    expected = loss(embeddings, labels)
    loss.proxies.data.mul_(torch.tensor([[0.01], [1.0], [300.0]]))
    torch.testing.assert_close(loss(embeddings, labels), expected)


def test_proxies_start_about_unit_length_in_all_directions() -> None:
    proxies = NormalizedSoftmaxLoss(num_classes=2000, embedding_dim=64).proxies
    assert proxies.norm(dim=1).mean().item() == pytest.approx(1.0, abs=0.02)
    assert proxies.mean(dim=0).norm() < 0.1


def test_cast_module_still_computes_in_float32(make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(6)
    loss = NormalizedSoftmaxLoss(num_classes=3, embedding_dim=8).half()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(embeddings.half(), labels)
    value.backward()
    exact = NormalizedSoftmaxLoss(num_classes=3, embedding_dim=8)
    exact.proxies.data.copy_(loss.proxies.data)
    assert value.dtype == torch.float32
    assert torch.equal(value, exact(embeddings.half().float(), labels))
    assert loss.proxies.grad.isfinite().all()


def test_training_finds_the_classes(make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(30, classes=4)
    loss = NormalizedSoftmaxLoss(num_classes=4, embedding_dim=8)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.05)
    for _ in range(100):
        optimizer.zero_grad()
        loss(embeddings, labels).backward()
        optimizer.step()
    assert (embeddings @ loss.proxies.t()).argmax(dim=1).eq(labels).float().mean() > 0.9


@pytest.mark.parametrize("label", [-1, 3])
def test_label_without_a_proxy_is_refused(label: int, make_batch: MakeBatch) -> None:
    with pytest.raises(ValueError, match=r"labels in \[0, 3\)"):
        NormalizedSoftmaxLoss(num_classes=3, embedding_dim=8)(make_batch(2)[0], torch.tensor([0, label]))


def test_wrong_dimension_is_refused(make_batch: MakeBatch) -> None:
    with pytest.raises(ValueError, match="embedding_dim=8"):
        NormalizedSoftmaxLoss(num_classes=3, embedding_dim=4)(*make_batch(5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_classes": 1}, "num_classes of at least 2"),
        ({"embedding_dim": 0}, "embedding_dim of at least 1"),
        ({"temperature": 0.0}, "temperature above 0"),
        ({"temperature": math.inf}, "finite temperature"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NormalizedSoftmaxLoss(**{"num_classes": 3, "embedding_dim": 8, **settings})


def test_repr_shows_every_setting() -> None:
    assert "num_classes=3, embedding_dim=8, temperature=0.05" in repr(NormalizedSoftmaxLoss(3, 8))


def test_starts_at_the_direction_of_class_means() -> None:
    loss = NormalizedSoftmaxLoss(num_classes=2, embedding_dim=2)
    loss.start_at(torch.tensor([[3.0, 4.0], [0.0, -0.5]]))
    torch.testing.assert_close(loss.proxies.detach(), torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
    assert loss.proxies.requires_grad


@pytest.mark.parametrize(
    ("means", "message"),
    [
        (torch.ones(3, 2), r"each proxy, \(2, 2\), got \(3, 2\)"),
        (torch.tensor([[1.0, 0.0], [0.0, 0.0]]), r"classes \[1\]"),
        (torch.tensor([[math.nan, 0.0], [0.0, 1.0]]), r"classes \[0\]"),
    ],
)
def test_means_without_a_direction_are_refused(means: Tensor, message: str) -> None:
    loss = NormalizedSoftmaxLoss(num_classes=2, embedding_dim=2)
    before = loss.proxies.detach().clone()
    with pytest.raises(ValueError, match=message):
        loss.start_at(means)
    assert torch.equal(loss.proxies.detach(), before)
