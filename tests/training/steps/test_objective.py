"""The objective that the arguments of a run name."""

from pathlib import Path
from typing import Any

import pytest
import torch

from hf_vitret import ContrastiveLoss, NormalizedSoftmaxLoss, RetrievalLoss, SmoothRecallLoss, SupConLoss
from hf_vitret.losses import PAIR_LOSSES, ExternalLoss
from hf_vitret.training.steps.objective import adapt_loss, build_loss, memory_rows
from tests.training import runs


def built(tmp_path: Path, **changes: Any) -> RetrievalLoss:
    return build_loss(
        runs.arguments(tmp_path, **changes), num_images=100, num_classes=9, embedding_dim=5, global_batch=8
    )


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    loss = built(tmp_path)
    assert isinstance(loss.pair_loss, ContrastiveLoss)
    assert (loss.pair_loss.margin, loss.koleo_weight, loss.memory.memory_size) == (0.5, 0.7, 100)


@pytest.mark.parametrize(
    ("name", "kind", "memory"),
    [
        ("supcon", SupConLoss, 100),
        ("normalized_softmax", NormalizedSoftmaxLoss, 0),
        ("smooth_recall", SmoothRecallLoss, 0),
    ],
)
def test_losses_by_name(name: str, kind: type, memory: int, tmp_path: Path) -> None:
    loss = built(tmp_path, loss=name)
    assert isinstance(loss.pair_loss, kind)
    assert (0 if loss.memory is None else loss.memory.memory_size) == memory
    if name == "normalized_softmax":
        assert loss.pair_loss.proxies.shape == (9, 5)


def test_temperature_is_the_default_of_the_loss_or_the_given_one(tmp_path: Path) -> None:
    assert built(tmp_path, loss="supcon").pair_loss.temperature == SupConLoss().temperature
    assert built(tmp_path, loss="supcon", temperature=0.3).pair_loss.temperature == 0.3


@pytest.mark.parametrize(("size", "rows"), [(None, 25_882), (0, 0), (0.2, 5_176), (1, 25_882), (300, 300)])
def test_memory_is_a_number_or_a_share(size: float | None, rows: int, tmp_path: Path) -> None:
    """The paper has 5,176 embeddings for In-Shop: a fifth of 25,882 images."""
    assert memory_rows(runs.arguments(tmp_path, memory_size=size), 25_882) == rows


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"memory_size": 0.05}, r"at least the images of one step \(8\); got 5"),
        ({"loss": "normalized_softmax", "memory_size": 50}, "memory_size=0 with NormalizedSoftmaxLoss"),
    ],
)
def test_memory_that_does_not_fit(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        built(tmp_path, **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "triplets"}, f"{', '.join(PAIR_LOSSES)}, or a class .* as module:Class .*; got 'triplets'"),
        ({"memory_size": 3.5}, "a whole number of embeddings; got 3.5"),
        ({"memory_start_step": -1}, "memory_start_step must be 0 or more; got -1"),
        ({"memory_momentum": 1.0}, "at least 0 and below 1; got 1.0"),
        ({"micro_batch_size": 0}, "at least 1 image; got 0"),
        ({"layer_decay": 0.0}, "above 0 and at most 1"),
    ],
)
def test_settings_outside_their_domain(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        runs.arguments(tmp_path, **changes)


def test_only_losses_without_self_index_are_wrapped() -> None:
    ours = SupConLoss()
    assert adapt_loss(ours) is ours

    class OfAnotherLibrary(torch.nn.Module):
        def forward(self, embeddings: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            return embeddings.sum()

    assert isinstance(adapt_loss(OfAnotherLibrary()), ExternalLoss)
