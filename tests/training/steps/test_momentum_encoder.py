"""The momentum encoder against the closed form of an exponential moving average."""

import pytest
import torch

from hf_vitret.training.steps.momentum_encoder import MomentumEncoder
from tests.training import runs


def test_weights_follow_the_closed_form() -> None:
    model = runs.tiny_vit()
    start = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    encoder = MomentumEncoder(model, momentum=0.9)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    for _ in range(5):
        encoder.update(model)
    # w_n = target + m^n (start - target), with target = start + 1
    for name, weight in encoder.encoder.named_parameters():
        torch.testing.assert_close(weight, start[name] + 1 - 0.9**5)


def test_it_embeds_in_evaluation_mode_without_gradient_and_in_micro_batches() -> None:
    model = runs.tiny_vit()
    encoder = MomentumEncoder(model, momentum=0.5)
    encoder.train()
    assert not any(module.training for module in encoder.encoder.modules())
    assert not any(weight.requires_grad for weight in encoder.parameters())
    pixels = torch.randn(5, 3, runs.SIDE, runs.SIDE)
    embeddings = encoder({"pixel_values": pixels})
    assert not embeddings.requires_grad
    torch.testing.assert_close(embeddings, model.eval()(pixels).embeddings)
    torch.testing.assert_close(encoder({"pixel_values": pixels}, micro_batch_size=2), embeddings)


def test_the_encoder_changes_only_in_an_update() -> None:
    model = runs.tiny_vit()
    encoder = MomentumEncoder(model, momentum=0.999)
    before = [weight.clone() for weight in encoder.parameters()]
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    assert all(torch.equal(*pair) for pair in zip(before, encoder.parameters()))


@pytest.mark.parametrize("momentum", [0.0, 1.0, -0.1, float("nan")])
def test_momentum_outside_its_range(momentum: float) -> None:
    with pytest.raises(ValueError, match=r"above 0 and below 1.*got"):
        MomentumEncoder(torch.nn.Linear(1, 1), momentum)
