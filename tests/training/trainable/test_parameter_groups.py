"""Layer-wise decay against its formula, and against the optimizer that Trainer builds."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import Trainer, TrainingArguments, get_scheduler

from hf_vitret.training.trainable.freezing import freeze_blocks
from hf_vitret.training.trainable.parameter_groups import parameter_groups
from tests.training.tiny_backbones import BACKBONES, one_number, pixels, tiny


def decay_names(model: nn.Module) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.dim() > 1]


def settings_by_name(model: nn.Module, groups: list[dict]) -> dict[str, tuple[float, float]]:
    """Return the rate and weight decay of each parameter; fail if a parameter is in two groups."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    listed = [(names[parameter], group) for group in groups for parameter in group["params"]]
    assert len({name for name, _ in listed}) == len(listed)
    return {name: (group["lr"], group["weight_decay"]) for name, group in listed}


def test_rates_fall_by_the_factor_from_block_to_block() -> None:
    model = tiny("vit", embedding_dim=4)
    groups = parameter_groups(
        model, learning_rate=0.1, weight_decay=0.3, decay_names=decay_names(model), layer_decay=0.5
    )
    settings = settings_by_name(model, groups)
    # Four blocks: depth 5 after them, 0 before them.
    assert settings["projection.weight"] == pytest.approx((0.1, 0.3))
    assert settings["projection.bias"] == pytest.approx((0.1, 0.0))
    assert settings["backbone.layernorm.weight"] == pytest.approx((0.1, 0.0))
    assert settings["backbone.layers.3.mlp.fc1.weight"] == pytest.approx((0.1 / 2, 0.3))
    assert settings["backbone.layers.0.mlp.fc1.weight"] == pytest.approx((0.1 / 16, 0.3))
    assert settings["backbone.embeddings.cls_token"] == pytest.approx((0.1 / 32, 0.3))
    assert settings["backbone.embeddings.patch_embeddings.projection.bias"] == pytest.approx((0.1 / 32, 0.0))
    assert settings.keys() == dict(model.named_parameters()).keys()
    assert groups[0]["lr"] == 0.1, "a schedule reports the rate of the first group, which should be learning_rate"


@pytest.mark.parametrize("kind", BACKBONES)
def test_every_trainable_parameter_once(kind: str) -> None:
    model = tiny(kind)
    freeze_blocks(model, 2)
    groups = parameter_groups(
        model, learning_rate=0.1, weight_decay=0.3, decay_names=decay_names(model), layer_decay=0.9
    )
    trainable = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    settings = settings_by_name(model, groups)
    assert settings.keys() == trainable
    assert all(group["params"] for group in groups)
    for name, (_, weight_decay) in settings.items():
        assert weight_decay == (0.3 if name in decay_names(model) else 0.0)


def test_a_backbone_that_ends_with_its_last_block_has_the_rate_of_a_block_there() -> None:
    model = tiny("beit")
    groups = parameter_groups(model, learning_rate=1.0, weight_decay=0.0, decay_names=(), layer_decay=0.5)
    assert settings_by_name(model, groups)["backbone.layers.3.lambda_1"][0] == 0.5


def test_without_layer_decay_the_groups_are_those_of_trainer(tmp_path: Path) -> None:
    model = tiny("vit", embedding_dim=4)
    trainer = Trainer(model, TrainingArguments(str(tmp_path), learning_rate=0.1, weight_decay=0.3, use_cpu=True))
    theirs = trainer.create_optimizer().param_groups
    ours = parameter_groups(
        model, learning_rate=0.1, weight_decay=0.3, decay_names=trainer.get_decay_parameter_names(model)
    )
    assert len(ours) == len(theirs) == 2
    for our, their in zip(ours, theirs):
        assert all(left is right for left, right in zip(our["params"], their["params"], strict=True))
        assert (our["lr"], our["weight_decay"]) == (their["lr"], their["weight_decay"])


@pytest.mark.parametrize(("schedule", "factor"), [("constant", 1.0), ("linear", 0.75)])
def test_schedules_scale_the_rate_of_each_group(schedule: str, factor: float) -> None:
    model = tiny()
    groups = parameter_groups(
        model, learning_rate=0.1, weight_decay=0.3, decay_names=decay_names(model), layer_decay=0.5
    )
    rates = [group["lr"] for group in groups]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    scheduler = get_scheduler(schedule, optimizer, num_warmup_steps=0, num_training_steps=4)
    optimizer.step()
    scheduler.step()
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([factor * rate for rate in rates])


def test_a_step_moves_the_weights_by_their_rates() -> None:
    model = tiny()
    groups = parameter_groups(model, learning_rate=0.1, weight_decay=0.0, decay_names=(), layer_decay=0.5)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    one_number(model(pixels()).embeddings).backward()
    torch.optim.SGD(groups, lr=1.0).step()
    for name, (rate, _) in settings_by_name(model, groups).items():
        parameter = dict(model.named_parameters())[name]
        torch.testing.assert_close(parameter.detach(), before[name] - rate * parameter.grad)


def test_an_optimizers_state_fits_a_model_built_again() -> None:
    def optimizer() -> torch.optim.Optimizer:
        model = tiny()
        groups = parameter_groups(
            model, learning_rate=0.1, weight_decay=0.3, decay_names=set(decay_names(model)), layer_decay=0.8
        )
        one_number(model(pixels()).embeddings).backward()
        return torch.optim.AdamW(groups)

    first, second = optimizer(), optimizer()
    first.step()
    second.load_state_dict(first.state_dict())
    for ours, theirs in zip(first.param_groups, second.param_groups, strict=True):
        for left, right in zip(ours["params"], theirs["params"], strict=True):
            assert torch.equal(first.state[left]["exp_avg"], second.state[right]["exp_avg"])


@pytest.mark.parametrize("layer_decay", [0.0, -0.5, 1.1, float("nan")])
def test_layer_decay_outside_its_domain(layer_decay: float) -> None:
    with pytest.raises(ValueError, match=f"above 0 and at most 1.*got {layer_decay}"):
        parameter_groups(tiny(), learning_rate=1.0, weight_decay=0.0, decay_names=(), layer_decay=layer_decay)


def test_nothing_to_train() -> None:
    model = tiny().requires_grad_(False)
    with pytest.raises(ValueError, match=r"a trainable parameter; got one with all frozen\. Freeze fewer blocks"):
        parameter_groups(model, learning_rate=1.0, weight_decay=0.0, decay_names=())
