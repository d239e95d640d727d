"""Real runs of the trainer: learning, logged terms, evaluation, checkpoints, resuming and gradient accumulation."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, Dinov2Config

from hf_vitret import RetrievalEvaluator, RetrievalLoss, RetrievalTrainer, ViTRetConfig, ViTRetModel, retrieval_metrics
from hf_vitret.files.run_state import LOSS_STATE_NAME
from hf_vitret.training.batches.training_images import DrawSampler
from tests.training import runs


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> RetrievalTrainer:
    return runs.train(tmp_path_factory.mktemp("run"), save_total_limit=None)


def logged(trainer: RetrievalTrainer, name: str) -> list[float]:
    return [line[name] for line in trainer.state.log_history if name in line]


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    trainer = runs.train(tmp_path, max_steps=30, memory_size=0, eval_steps=30, save_steps=30)
    losses = logged(trainer, "loss")
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])


def test_the_logged_terms_add_up(finished: RetrievalTrainer) -> None:
    losses = logged(finished, "loss")
    parts = zip(logged(finished, "contrastive"), logged(finished, "memory"), logged(finished, "koleo"))
    for loss, (contrastive, memory, koleo) in zip(losses, parts):
        assert loss == pytest.approx(contrastive + memory + 0.7 * koleo, rel=1e-5)


def test_defaults_are_the_papers(tmp_path: Path) -> None:
    args = runs.RetrievalTrainingArguments(output_dir=str(tmp_path))
    expected = {
        "margin": 0.5,
        "koleo_weight": 0.7,
        "memory_size": None,
        "learning_rate": 3e-5,
        "weight_decay": 5e-4,
        "per_device_train_batch_size": 64,
        "max_steps": 35_000,
        "max_grad_norm": 0.0,
        "koleo_neighbors": "all",
    }
    assert {name: getattr(args, name) for name in expected} == expected
    assert args.lr_scheduler_type == "constant"


def test_memory_is_as_large_as_the_training_set(finished: RetrievalTrainer) -> None:
    assert finished.loss.memory.memory_size == len(runs.shapes_dataset()["train"])


def test_evaluation_is_that_of_the_embeddings(finished: RetrievalTrainer) -> None:
    dataset = runs.shapes_dataset()["test"]
    processor = finished.model.image_processor
    with torch.inference_mode():
        pixels = processor(dataset["image"][:], return_tensors="pt")["pixel_values"]
        embeddings = finished.model.eval()(pixels).embeddings
    expected = retrieval_metrics(embeddings, torch.tensor(dataset["label"][:]))
    measured = finished.evaluate()
    for name, value in expected.items():
        assert measured[f"eval_{name}"] == pytest.approx(value, abs=1e-6)


def test_query_and_gallery_are_searched_as_such(finished: RetrievalTrainer) -> None:
    test = runs.shapes_dataset()["test"]
    parts = {"query": test.select(range(0, 20, 2)), "gallery": test.select(range(1, 20, 2))}
    metrics = finished.evaluate(parts)
    assert metrics["eval_num_queries"] == 10
    assert metrics["eval_recall_at_1"] == RetrievalEvaluator(parts)(finished.model)["recall_at_1"]


def test_checkpoints_hold_model_loss_and_no_loss_in_the_model(finished: RetrievalTrainer) -> None:
    folder = Path(finished.args.output_dir)
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-3", "checkpoint-6"]
    checkpoint = folder / "checkpoint-6"
    assert (checkpoint / LOSS_STATE_NAME).exists()
    reloaded = ViTRetModel.from_pretrained(checkpoint)
    assert reloaded.state_dict().keys() == finished.model.state_dict().keys()
    assert (checkpoint / "preprocessor_config.json").exists()


def test_best_checkpoint_is_loaded_at_the_end(finished: RetrievalTrainer) -> None:
    best = ViTRetModel.from_pretrained(str(finished.state.best_model_checkpoint))
    for name, tensor in best.state_dict().items():
        assert torch.equal(tensor, finished.model.state_dict()[name]), name
    assert finished.state.best_metric == max(logged(finished, "eval_recall_at_1"))


def test_renamed_weights_are_restored_too(tmp_path: Path) -> None:
    """DINOv2 is saved under other names than those of its modules; all weights must be restored."""
    dataset = runs.shapes_dataset()
    backbone = Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=14
    )
    model = ViTRetModel(ViTRetConfig(backbone, image_size=28, resize_size=28))
    trainer = RetrievalTrainer(model, runs.arguments(tmp_path), dataset["train"], dataset["test"])
    trainer.train()
    trained = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    trainer.state.best_model_checkpoint = str(tmp_path / "checkpoint-6")
    trainer._load_best_model()
    last = ViTRetModel.from_pretrained(tmp_path / "checkpoint-6").state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, last[name]), name
    assert any(not torch.equal(tensor, torch.zeros_like(tensor)) for tensor in trained.values())


@pytest.mark.parametrize("step", [3])
def test_resumed_run_ends_like_one_never_stopped(finished: RetrievalTrainer, step: int, tmp_path: Path) -> None:
    dataset = runs.shapes_dataset()
    trainer = RetrievalTrainer(
        runs.tiny_vit(), runs.arguments(tmp_path, load_best_model_at_end=False), dataset["train"], dataset["test"]
    )
    trainer.train(resume_from_checkpoint=str(Path(finished.args.output_dir) / f"checkpoint-{step}"))
    expected = ViTRetModel.from_pretrained(Path(finished.args.output_dir) / "checkpoint-6").state_dict()
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert logged(trainer, "loss") == logged(finished, "loss")


def test_resume_without_the_memory_is_refused(finished: RetrievalTrainer, tmp_path: Path) -> None:
    dataset = runs.shapes_dataset()
    trainer = RetrievalTrainer(
        runs.tiny_vit(), runs.arguments(tmp_path, memory_size=0), dataset["train"], dataset["test"]
    )
    with pytest.raises(ValueError, match=r"not of this run.*loss\.memory\.count, loss\.memory\.embeddings"):
        trainer.train(resume_from_checkpoint=str(Path(finished.args.output_dir) / "checkpoint-3"))


def test_accumulated_gradient_is_the_mean_of_the_micro_batches(tmp_path: Path) -> None:
    dataset = runs.shapes_dataset()
    trainer = RetrievalTrainer(
        runs.tiny_vit(),
        runs.arguments(
            tmp_path,
            max_steps=1,
            gradient_accumulation_steps=3,
            memory_size=0,
            optim="sgd",
            learning_rate=1.0,
            weight_decay=0.0,
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
        ),
        dataset["train"],
    )
    assert trainer.sampler is not None
    images = trainer.train_dataset
    draws = list(DrawSampler(trainer.sampler))[:24]
    reference = runs.tiny_vit()
    loss = RetrievalLoss()
    for start in (0, 8, 16):
        examples = trainer.data_collator([images[draw] for draw in draws[start : start + 8]])
        (loss(reference(examples["pixel_values"]).embeddings, examples["labels"])["loss"] / 3).backward()
    before = {name: parameter.clone() for name, parameter in reference.named_parameters()}
    trainer.train()
    for name, parameter in trainer.model.named_parameters():
        expected = before[name] - dict(reference.named_parameters())[name].grad
        torch.testing.assert_close(parameter, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"per_device_train_batch_size": 64}, "6 classes"),
        ({"memory_size": 3}, r"at least the images of one step \(8\); got 3"),
        ({"koleo_neighbors": "friends"}, "friends"),
    ],
)
def test_bad_settings_are_refused_before_training(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        RetrievalTrainer(runs.tiny_vit(), runs.arguments(tmp_path, **changes), runs.shapes_dataset()["train"])


def test_missing_column_is_named(tmp_path: Path) -> None:
    dataset = runs.shapes_dataset()["train"].rename_column("label", "species")
    with pytest.raises(ValueError, match=r"image, label, image_id; got image, species, image_id"):
        RetrievalTrainer(runs.tiny_vit(), runs.arguments(tmp_path), dataset)


def test_bf16_trains(tmp_path: Path) -> None:
    trainer = runs.train(tmp_path, bf16=True, max_steps=2, eval_steps=2, save_steps=2)
    assert trainer.model.dtype == torch.float32
    assert all(torch.isfinite(torch.tensor(logged(trainer, "loss"))))


def test_config_of_the_checkpoint_is_known_to_auto_classes(finished: RetrievalTrainer) -> None:
    assert AutoConfig.from_pretrained(Path(finished.args.output_dir) / "checkpoint-6").model_type == "vitret"
