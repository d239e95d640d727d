"""Batches of unit vectors, and the losses written as plain loops: the oracle of this folder."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize


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
    """Return ``make(rows, dim, classes, seed)``: unit vectors that lean to their class, and labels."""

    def make(rows: int, dim: int = 8, classes: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
        generator = torch.Generator().manual_seed(seed)
        labels = torch.randint(classes, (rows,), generator=generator)  # (rows,)
        centers = torch.randn(classes, dim, generator=torch.Generator().manual_seed(99))  # (classes, dim)
        noise = torch.randn(rows, dim, generator=generator)  # (rows, dim)
        return normalize(centers[labels] + noise, dim=1), labels

    return make


@pytest.fixture
def circle() -> tuple[Tensor, Tensor]:
    """Four points at 0, 60, 90 and 180 degrees; the classes are the first two and the last two."""
    angles = torch.tensor([0.0, 60.0, 90.0, 180.0]) * math.pi / 180
    return torch.stack([angles.cos(), angles.sin()], dim=1), torch.tensor([0, 0, 1, 1])
