"""Proxies start at the mean embedding of each class, of images or cached features, unless the loss was given."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from hf_vitret import NormalizedSoftmaxLoss, RetrievalLoss, ViTRetConfig, ViTRetModel
from hf_vitret.training.batches.cached_features import cache_pooled_features
from hf_vitret.training.batches.training_set import TrainingSet
from hf_vitret.training.batches.transforms import TrainTransform
from hf_vitret.training.trainable.proxy_start import first_rows, mean_embeddings
from tests.training import runs

ALONE: dict[str, Any] = {
    "eval_strategy": "no",
    "save_strategy": "no",
    "load_best_model_at_end": False,
    "max_steps": 1,
}


def test_proxies_start_at_class_means(tmp_path: Path) -> None:
    trainer = runs.new_trainer(tmp_path, **ALONE, loss="normalized_softmax")
    started: list[torch.Tensor] = []

    class Before(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            started.append(trainer.loss.pair_loss.proxies.detach().clone())

    trainer.add_callback(Before())
    dataset = runs.shapes_dataset()["train"]
    pixels = trainer.model.image_processor(dataset["image"][:], return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        embeddings = trainer.model.eval()(pixels).embeddings
    labels = torch.tensor(dataset["label"][:])
    means = torch.stack([embeddings[labels == label].mean(dim=0) for label in labels.unique()])
    trainer.train()
    torch.testing.assert_close(started[0], torch.nn.functional.normalize(means), atol=1e-6, rtol=0)


def test_proxies_of_a_loss_that_is_given_are_not_moved(tmp_path: Path) -> None:
    own = RetrievalLoss(pair_loss=NormalizedSoftmaxLoss(num_classes=6, embedding_dim=16))
    before = own.pair_loss.proxies.detach().clone()
    trainer = runs.new_trainer(tmp_path, **ALONE, loss=own, learning_rate=0.0, loss_learning_rate=0.0)
    trainer.train()
    assert torch.equal(own.pair_loss.proxies, before)


def test_means_of_cached_features_are_those_of_their_images(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ViTRetConfig(runs.tiny_vit().config.backbone_config, image_size=32, resize_size=32, embedding_dim=8)
    model, dataset = ViTRetModel(config), runs.shapes_dataset()["train"]
    transform = TrainTransform(image_size=32, resize_size=32)
    args = runs.arguments(tmp_path)
    of_images = mean_embeddings(model, TrainingSet(dataset, transform), args)
    cached = cache_pooled_features(model, dataset, progress=False)
    torch.testing.assert_close(mean_embeddings(model, TrainingSet(cached, transform), args), of_images)


def test_first_rows_are_those_of_a_loop() -> None:
    class_ids = np.random.default_rng(0).integers(0, 7, 60)
    expected = [row for name in range(7) for row in [i for i in range(60) if class_ids[i] == name][:4]]
    assert first_rows(class_ids, 4).tolist() == expected
