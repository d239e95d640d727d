"""Fixtures of the loss tests: batches of unit vectors, and losses written as plain loops to compare with."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Case(NamedTuple):
    """Anchors, references, and the row of each anchor among them."""

    embeddings: Tensor
    labels: Tensor
    refs: Tensor
    ref_labels: Tensor
    own_rows: list[int | None]

    def compare(self, loss: Callable[..., Tensor], oracle: Callable[..., Tensor], tolerance: float = 1e-5) -> None:
        """Check value and gradients of a loss against an oracle in float64."""
        exact, exact_refs = self.embeddings.double().requires_grad_(), self.refs.double().requires_grad_()
        expected = oracle(exact, self.labels.tolist(), exact_refs, self.ref_labels.tolist(), self.own_rows)
        expected.backward()
        anchors, refs = self.embeddings.clone().requires_grad_(), self.refs.clone().requires_grad_()
        is_itself = self.refs is self.embeddings
        if is_itself:
            value, expected_grad = loss(anchors, self.labels), exact.grad + exact_refs.grad
        else:
            index = None if self.own_rows[0] is None else torch.tensor(self.own_rows)
            value, expected_grad = loss(anchors, self.labels, refs, self.ref_labels, self_index=index), exact.grad
        (3.0 * value).backward()
        assert expected_grad.abs().max() > 100 * tolerance
        assert value.item() == pytest.approx(expected.item(), abs=tolerance, rel=tolerance)
        torch.testing.assert_close(anchors.grad.double(), 3.0 * expected_grad, atol=tolerance, rtol=tolerance)
        if not is_itself:
            torch.testing.assert_close(refs.grad.double(), 3.0 * exact_refs.grad, atol=tolerance, rtol=tolerance)


class LargestTensor(TorchDispatchMode):
    """Record the number of elements of the largest tensor that any operation returns."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        sizes = [leaf.numel() for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        self.numel = max([self.numel, *sizes])
        return result


def _contrastive(
    embeddings: Tensor,
    labels: Sequence[int],
    refs: Tensor,
    ref_labels: Sequence[int],
    own_rows: Sequence[int | None],
    margin: float,
) -> Tensor:
    """Eq. (1), pair by pair."""
    total = embeddings.new_zeros(())
    for i in range(len(embeddings)):
        for j in range(len(refs)):
            if j == own_rows[i]:
                continue
            similarity = (embeddings[i] * refs[j]).sum()
            if labels[i] == ref_labels[j]:
                total = total + 1.0 - similarity
            elif similarity > margin:
                total = total + similarity - margin
    return total / len(embeddings)


def _koleo(
    embeddings: Tensor,
    labels: Sequence[int],
    refs: Tensor,
    ref_labels: Sequence[int],
    own_rows: Sequence[int | None],
    negatives_only: bool,
) -> Tensor:
    """Eq. (5), pair by pair, without eps: for points that are not close."""
    terms = []
    for i in range(len(embeddings)):
        distances = [
            (embeddings[i] - refs[j]).norm()
            for j in range(len(refs))
            if j != own_rows[i] and not (negatives_only and labels[i] == ref_labels[j])
        ]
        if distances:
            terms.append(-min(distances, key=lambda distance: distance.item()).log())
    return torch.stack(terms).mean() if terms else embeddings.sum() * 0.0


@pytest.fixture
def naive_contrastive() -> Callable[..., Tensor]:
    """Return Eq. (1) as a double loop."""
    return _contrastive


@pytest.fixture
def naive_koleo() -> Callable[..., Tensor]:
    """Return Eq. (5) as a double loop."""
    return _koleo


@pytest.fixture
def make_batch() -> Callable[..., tuple[Tensor, Tensor]]:
    """Return ``make(rows, dim, classes, seed)``, which draws unit vectors near their class's centre, and labels."""

    def make(rows: int, dim: int = 8, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(classes, (rows,), generator=generator)  # (rows,)
        centers = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99))  # (classes, dim)
        noise = torch.randn(rows, dim, generator=generator)  # (rows, dim)
        return normalize(centers[labels] + noise, dim=1), labels

    return make


@pytest.fixture
def make_case(make_batch: Callable[..., tuple[Tensor, Tensor]]) -> Callable[..., Case]:
    """Return ``make(refs)``, for "itself", "own rows inside" or "others": seven anchors and their references."""

    def make(refs: str) -> Case:
        embeddings, labels = make_batch(7, seed=1)
        others, other_labels = make_batch(16, seed=2)
        if refs == "itself":
            return Case(embeddings, labels, embeddings, labels, list(range(7)))
        if refs == "others":
            return Case(embeddings, labels, others, other_labels, [None] * 7)
        order = torch.randperm(23, generator=torch.Generator().manual_seed(3))
        rows, row_labels = torch.cat([embeddings, others])[order], torch.cat([labels, other_labels])[order]
        return Case(embeddings, labels, rows, row_labels, order.argsort()[:7].tolist())

    return make


@pytest.fixture
def largest_tensor() -> Callable[[], AbstractContextManager[LargestTensor]]:
    """Return a context that records the largest tensor made in it."""
    return LargestTensor


@pytest.fixture
def circle() -> tuple[Tensor, Tensor]:
    """Four points at 0, 60, 90 and 180 degrees; the classes are the first two and the last two."""
    angles = torch.tensor([0.0, 60.0, 90.0, 180.0]) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 0, 1, 1])
