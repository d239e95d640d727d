"""Gradient caching against autograd through all micro-batches at once."""

from contextlib import contextmanager

import pytest
import torch
from transformers import ViTConfig

from hf_vitret import RetrievalLoss, ViTRetConfig, ViTRetModel
from hf_vitret.training.steps.gradient_caching import CachedBatch

SIDE, BATCH = 32, 12
LABELS = torch.arange(BATCH) // 3


def model_with_dropout() -> ViTRetModel:
    torch.manual_seed(0)
    backbone = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=SIDE,
        hidden_dropout_prob=0.3,
        attention_probs_dropout_prob=0.2,
        initializer_range=0.2,
    )
    return ViTRetModel(ViTRetConfig(backbone, image_size=SIDE, resize_size=SIDE)).train()


def new_loss() -> RetrievalLoss:
    loss = RetrievalLoss(margin=0.2, koleo_weight=0.7, memory_size=20, embedding_dim=16)
    loss.train()
    loss.memory.enqueue(torch.nn.functional.normalize(torch.randn(15, 16), dim=1), torch.arange(15) % 5)
    return loss


def gradients(model: ViTRetModel) -> torch.Tensor:
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


@pytest.mark.parametrize("micro_batch_size", [1, 4, 5, 12, 100])
def test_gradient_is_that_of_one_graph_over_all_micro_batches(micro_batch_size: int) -> None:
    """Dropout is on, so that only a replay of the same masks gives the same gradient. The memory wraps in this step."""
    pixels = torch.randn(BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    plain, cached = model_with_dropout(), model_with_dropout()

    torch.manual_seed(5)
    embeddings = torch.cat([plain(part).embeddings for part in pixels.split(micro_batch_size)])
    torch.manual_seed(9)
    expected = new_loss()(embeddings, LABELS)["loss"]
    expected.backward()

    torch.manual_seed(5)
    batch = CachedBatch(cached, {"pixel_values": pixels}, micro_batch_size)
    after = torch.get_rng_state()
    torch.manual_seed(9)
    loss = new_loss()(batch.embeddings, LABELS)["loss"]
    loss.backward()
    torch.set_rng_state(after)
    batch.backward()

    assert torch.equal(loss, expected)
    difference = (gradients(cached) - gradients(plain)).norm() / gradients(plain).norm()
    assert difference < 1e-6
    assert torch.equal(torch.get_rng_state(), after)  # so that the next step draws other dropout masks


def test_without_the_replay_the_gradient_would_differ() -> None:
    """The test above can fail, because other masks in the second pass give another gradient."""
    pixels = torch.randn(BATCH, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    found = []
    for seed in (5, 6):
        model = model_with_dropout()
        torch.manual_seed(seed)
        batch = CachedBatch(model, {"pixel_values": pixels}, 4)
        batch.embeddings.grad = torch.ones_like(batch.embeddings)
        batch.backward()
        found.append(gradients(model))
    assert (found[0] - found[1]).norm() > 0.05 * found[0].norm()


def test_only_the_last_micro_batch_exchanges_gradients() -> None:
    entered = []

    @contextmanager
    def no_sync():
        entered.append("in")
        yield
        entered.append("out")

    model = model_with_dropout()
    batch = CachedBatch(model, {"pixel_values": torch.randn(10, 3, SIDE, SIDE)}, 4, no_sync)
    batch.embeddings.grad = torch.ones_like(batch.embeddings)
    batch.backward()
    assert entered == ["in", "out"] * 2


def test_the_activations_of_one_micro_batch_are_alive_at_a_time() -> None:
    """The size of the tensors that autograd keeps does not grow with the batch."""
    kept = []
    for batch_size in (4, 16):
        alive, peak = 0, 0

        def pack(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal alive, peak
            alive += tensor.numel()
            peak = max(peak, alive)
            return tensor

        model = model_with_dropout()
        batch = CachedBatch(model, {"pixel_values": torch.randn(batch_size, 3, SIDE, SIDE)}, 4)
        batch.embeddings.grad = torch.ones_like(batch.embeddings)
        forward = model.forward

        def count_from_zero(*args, **kwargs):
            nonlocal alive
            alive = 0
            return forward(*args, **kwargs)  # noqa: B023

        model.forward = count_from_zero
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            batch.backward()
        kept.append(peak)
    assert kept[0] == kept[1] > 0


def test_backward_before_that_of_the_loss_is_refused() -> None:
    batch = CachedBatch(model_with_dropout(), {"pixel_values": torch.randn(2, 3, SIDE, SIDE)}, 1)
    with pytest.raises(
        ValueError, match=r"expected the gradient of the embeddings; got none\. Call backward of the loss first"
    ):
        batch.backward()
