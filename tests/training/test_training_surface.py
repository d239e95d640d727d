"""Settings of a run, each tested in a real run."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback, TrainingArguments

from hf_vitret import RetrievalTrainer, SupConLoss, ViTRetConfig, ViTRetModel
from hf_vitret.training.batches.cached_features import CachedFeatures, cache_pooled_features
from hf_vitret.training.trainable.lora import add_lora, merge_lora
from tests.training import runs
from tests.training.distributed.forked import Run, launch

ALONE: dict[str, Any] = {"eval_strategy": "no", "save_strategy": "no", "load_best_model_at_end": False, "optim": "sgd"}
THREE_STEPS = {**ALONE, "max_steps": 3, "learning_rate": 1e-3}

# transformers renamed it within version 5
CHECKPOINTING = (
    "activation_checkpointing" if hasattr(TrainingArguments, "activation_checkpointing") else "gradient_checkpointing"
)


def losses(trainer: RetrievalTrainer) -> list[float]:
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


def head_model(width: int = 8) -> ViTRetModel:
    torch.manual_seed(0)
    return ViTRetModel(
        ViTRetConfig(runs.tiny_vit().config.backbone_config, image_size=32, resize_size=32, embedding_dim=width)
    )


class Poison(TrainerCallback):
    """Set a weight of the model to NaN at the start of a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, model: torch.nn.Module, **_: Any) -> None:
        if state.global_step + 1 == self.step:
            with torch.no_grad():
                next(model.parameters()).fill_(float("nan"))


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path) -> None:
    trainer = runs.new_trainer(tmp_path, callbacks=[Poison(5)], save_steps=1, eval_steps=1)
    with pytest.raises(FloatingPointError) as caught:
        trainer.train()
    message = str(caught.value)
    assert "at step 5" in message
    named = [f"{class_id}/{image}" for class_id in range(6) for image in range(4) if f"{class_id}/{image}" in message]
    assert len(named) == 8  # the images of the batch
    assert f"--resume_from_checkpoint {tmp_path / 'checkpoint-4'}" in message
    assert not (tmp_path / "checkpoint-5").exists()


@pytest.fixture(scope="module")
def plain_losses(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return losses(runs.train(tmp_path_factory.mktemp("plain"), **THREE_STEPS))


@pytest.mark.parametrize(
    "changes",
    [
        {"micro_batch_size": 3},
        {CHECKPOINTING: True},
        {"torch_compile": True, "torch_compile_backend": "aot_eager"},
        {CHECKPOINTING: True, "micro_batch_size": 2},
    ],
    ids=["caching", "checkpointing", "compile", "both"],
)
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # raised inside the compiler of torch
def test_memory_and_speed_settings_change_no_loss(
    changes: dict[str, Any], plain_losses: list[float], tmp_path: Path
) -> None:
    assert losses(runs.train(tmp_path, **THREE_STEPS, **changes)) == pytest.approx(plain_losses, rel=1e-4)


def test_caching_takes_one_all_reduce_a_step(tmp_path: Path) -> None:
    changes = {**ALONE, "max_steps": 3, "per_device_train_batch_size": 4}
    variants = {"plain": {}, "cached": {"micro_batch_size": 1}, "accumulated": {"gradient_accumulation_steps": 2}}
    folders = {name: tmp_path / name for name in variants}
    launch(
        *[
            Run("tests.training.distributed.all_reduce_run:run", [str(folders[name]), changes | extra], 2)
            for name, extra in variants.items()
        ]
    )
    counts = {name: json.loads((folder / "counts-1.json").read_text()) for name, folder in folders.items()}
    assert counts["cached"] == counts["plain"] == counts["accumulated"] == [1] * 3


def test_memory_is_a_share_of_the_training_set(tmp_path: Path) -> None:
    assert runs.new_trainer(tmp_path, memory_size=0.5).loss.memory.memory_size == 12
    assert runs.new_trainer(tmp_path, memory_size=1).loss.memory.memory_size == 24
    assert runs.new_trainer(tmp_path, memory_size=13).loss.memory.memory_size == 13


def test_memory_starts_at_its_optimiser_step(tmp_path: Path) -> None:
    trainer = runs.train(tmp_path, **ALONE, max_steps=3, memory_start_step=2, gradient_accumulation_steps=3)
    memories = [line["memory"] for line in trainer.state.log_history if "memory" in line]
    assert memories[:2] == [0.0, 0.0]
    assert memories[2] > 0
    assert len(trainer.loss.memory) == 24  # one step of three batches of 8


def test_momentum_encoder_computes_the_embeddings_in_the_memory(tmp_path: Path) -> None:
    """With a learning rate of 0 the encoder equals the model: the memory holds its embeddings of the batch."""
    trainer = runs.train(tmp_path, **ALONE, max_steps=1, learning_rate=0.0, memory_momentum=0.5)
    batch = trainer.data_collator([trainer.train_dataset[draw] for draw in list(trainer._get_train_sampler())[:8]])
    expected = trainer.model.eval()(batch["pixel_values"]).embeddings
    embeddings, labels = trainer.loss.memory.contents()
    torch.testing.assert_close(embeddings, expected)
    assert labels.tolist() == batch["labels"].tolist()
    followed = runs.train(tmp_path, **ALONE, max_steps=3, learning_rate=0.1, memory_momentum=0.5)
    slow, fast = (next(model.parameters()) for model in (followed.momentum_encoder.encoder, followed.model))
    assert not torch.equal(slow, fast)


@pytest.mark.parametrize("changes", [{"memory_size": 0}, {"loss": "normalized_softmax"}])
def test_momentum_without_a_memory_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"memory_momentum needs a memory, .*; got a loss without one\. Set memory_size"
    ):
        runs.new_trainer(tmp_path, memory_momentum=0.9, **changes)


@pytest.mark.parametrize("name", ["supcon", "normalized_softmax", "smooth_recall"])
def test_losses_by_name_learn(name: str, tmp_path: Path) -> None:
    trainer = runs.train(tmp_path, **{**ALONE, "optim": "adamw_torch"}, max_steps=30, loss=name, koleo_weight=0.0)
    found = losses(trainer)
    assert sum(found[-5:]) < 0.8 * sum(found[:5])
    assert name in trainer.state.log_history[0]
    assert ("memory" in trainer.state.log_history[0]) == (name == "supcon")


def test_a_given_loss_object(tmp_path: Path) -> None:
    trainer = runs.train(tmp_path, **ALONE, max_steps=2, loss=SupConLoss(temperature=0.2))
    assert len(losses(trainer)) == 2


def test_weights_of_the_loss_have_their_own_learning_rate_and_are_resumed(tmp_path: Path) -> None:
    settings = {**ALONE, "save_strategy": "steps", "save_steps": 2, "max_steps": 4, "loss": "normalized_softmax"}
    trainer = runs.train(tmp_path, **settings, learning_rate=1e-3)
    rates = {group["lr"] for group in trainer.optimizer.param_groups if group["params"][0].shape[0] == 6}
    assert list(rates) == pytest.approx([0.1])
    resumed = runs.new_trainer(tmp_path / "again", **settings, learning_rate=1e-3)
    before = resumed.loss.pair_loss.proxies.detach().clone()
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert torch.equal(resumed.loss.pair_loss.proxies, trainer.loss.pair_loss.proxies)
    assert not torch.equal(resumed.loss.pair_loss.proxies, before)


def test_a_constant_rate_warms_up_if_warmup_steps_is_set(tmp_path: Path) -> None:
    trainer = runs.train(tmp_path, **ALONE, max_steps=6, warmup_steps=4, learning_rate=1e-3)
    rates = [line["learning_rate"] for line in trainer.state.log_history if "learning_rate" in line]
    assert rates == pytest.approx([0.0, 2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3])


def test_layer_decay_reaches_the_optimizer(tmp_path: Path) -> None:
    trainer = runs.new_trainer(tmp_path, layer_decay=0.5, learning_rate=0.8, lr_scheduler_type="linear")
    optimizer = trainer.create_optimizer()
    rates = {id(weight): group["lr"] for group in optimizer.param_groups for weight in group["params"]}
    model = trainer.model
    blocks = model.backbone.layers if hasattr(model.backbone, "layers") else model.backbone.encoder.layer
    found = [
        rates[id(next(module.parameters()))]
        for module in (model.backbone.embeddings, *blocks, model.backbone.layernorm)
    ]
    assert found == [0.1, 0.2, 0.4, 0.8]
    assert len(rates) == len(list(model.parameters()))


def test_head_of_a_frozen_backbone(tmp_path: Path) -> None:
    model, dataset = head_model(), runs.shapes_dataset()
    with torch.no_grad():  # at the usual range a random model maps all images to nearly the same vector
        for weight in model.backbone.parameters():
            weight.mul_(5)
    backbone = {name: weight.clone() for name, weight in model.backbone.state_dict().items()}
    model.backbone.requires_grad_(False)
    features = cache_pooled_features(model, dataset["train"], progress=False)
    settings = {**ALONE, "optim": "adamw_torch", "max_steps": 40, "learning_rate": 1e-2, "memory_size": 0}
    trainer = RetrievalTrainer(model, runs.arguments(tmp_path, **settings), features, dataset["test"])
    trainer.train()
    assert sum(losses(trainer)[-5:]) < 0.8 * sum(losses(trainer)[:5])
    for name, weight in model.backbone.state_dict().items():
        assert torch.equal(weight, backbone[name])
    assert isinstance(trainer.train_dataset, CachedFeatures)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # raised by peft 0.21
def test_lora_resumes_like_a_run_never_stopped_and_merges(tmp_path: Path) -> None:
    settings = {"max_steps": 4, "save_steps": 2, "eval_steps": 2, "load_best_model_at_end": False}
    whole = runs.new_trainer(tmp_path / "whole", add_lora(head_model(), rank=2), **settings)
    whole.train()
    again = runs.new_trainer(tmp_path / "again", add_lora(head_model(), rank=2), **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert losses(again) == losses(whole)
    for name, weight in again.model.state_dict().items():
        assert torch.equal(weight, whole.model.state_dict()[name]), name
    pixels = torch.randn(2, 3, runs.SIDE, runs.SIDE)
    expected = again.model.eval()(pixels).embeddings
    merge_lora(again.model).save_pretrained(tmp_path / "merged")
    merged = ViTRetModel.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(merged(pixels).embeddings, expected, rtol=1e-4, atol=1e-5)
