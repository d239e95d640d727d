"""Training steps of a small ViT under mixed precision, also with batches on which losses could overflow."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from hf_vitret.losses import PAIR_LOSSES, RetrievalLoss
from tests.losses.building import build

BATCHES: dict[str, Callable[[Tensor], Tensor]] = {
    "different images": lambda images: images,
    "duplicates": lambda images: images[torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])],
    "one image": lambda images: images[:1].expand(8, -1, -1, -1),
}
# With the default of 2**16 the backward pass of the backbone overflows, and the scaler would skip the first steps.
SCALE = 2.0**8


def build_loss(pair_loss: str) -> RetrievalLoss:
    loss = build(PAIR_LOSSES[pair_loss], num_classes=4, embedding_dim=32)
    return RetrievalLoss(memory_size=20 if loss.uses_references else 0, embedding_dim=32, pair_loss=loss)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("labels", [[0, 0, 1, 1, 2, 2, 3, 3], [0, 1, 2, 3, 0, 1, 2, 3], [1] * 8])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pair_loss", PAIR_LOSSES)
def test_losses_and_gradients_are_finite(
    pair_loss: str, dtype: torch.dtype, batch: str, labels: list[int], images: Tensor, tiny_model: nn.Module
) -> None:
    loss = build_loss(pair_loss)
    parameters = [*tiny_model.parameters(), *loss.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=SCALE, enabled=dtype == torch.float16)
    tiny_model.train()
    for _ in range(3):  # 24 rows: the memory fills and wraps
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=dtype):
            embeddings = tiny_model(BATCHES[batch](images)).embeddings
            terms = loss(embeddings, torch.tensor(labels))
        embeddings.retain_grad()
        assert {value.dtype for value in terms.values()} == {torch.float32}
        assert all(value.isfinite() for value in terms.values())
        scaler.scale(terms["loss"]).backward()
        assert embeddings.grad.isfinite().all()
        scaler.unscale_(optimizer)
        assert all(parameter.grad.isfinite().all() for parameter in parameters if parameter.grad is not None)
        scaler.step(optimizer)
        scale = scaler.get_scale()
        scaler.update()
        assert scaler.get_scale() >= scale  # the step was not skipped


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("pair_loss", PAIR_LOSSES)
def test_autocast_changes_the_embeddings_and_not_the_loss(
    pair_loss: str, dtype: torch.dtype, images: Tensor, tiny_model: nn.Module
) -> None:
    labels = torch.arange(8) % 4
    loss = build_loss(pair_loss).eval()
    with torch.autocast("cpu", dtype=dtype), torch.no_grad():
        embeddings = tiny_model(images).embeddings
        under = loss(embeddings, labels)
    outside = loss(embeddings, labels)
    assert not torch.equal(embeddings, tiny_model(images).embeddings)
    assert {name: value.item() for name, value in under.items()} == {
        name: value.item() for name, value in outside.items()
    }


@pytest.mark.parametrize("pair_loss", PAIR_LOSSES)
def test_step_that_overflows_is_skipped_and_leaves_nothing_behind(
    pair_loss: str, images: Tensor, tiny_model: nn.Module
) -> None:
    loss, labels = build_loss(pair_loss), torch.arange(8) % 4
    optimizer = torch.optim.SGD(tiny_model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler("cpu", init_scale=SCALE)
    before = [parameter.detach().clone() for parameter in tiny_model.parameters()]
    for pixel_values in (images.clone().fill_(float("inf")), images):
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.float16):
            value = loss(tiny_model(pixel_values).embeddings, labels)["loss"]
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        is_first = pixel_values is not images
        assert bool(value.isfinite()) != is_first
        unchanged = [torch.equal(old, new) for old, new in zip(before, tiny_model.parameters())]
        assert all(unchanged) == is_first
