"""A small training run with the real trainer, on drawn images and a tiny ViT."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value
from PIL import Image as Pillow
from transformers import ViTConfig

from hf_vitret import RetrievalTrainer, RetrievalTrainingArguments, ViTRetConfig, ViTRetModel

SIDE = 32


def draw(class_id: int, image: int) -> Pillow.Image:
    """Draw an image: a colour gradient that depends on the class, in a shade that depends on the image."""
    rng = np.random.default_rng(class_id)
    corners = rng.integers(0, 200, (2, 2, 3)) + np.random.default_rng([class_id, image]).integers(0, 55, (2, 2, 3))
    return Pillow.fromarray(corners.astype(np.uint8)).resize((SIDE, SIDE), Pillow.Resampling.BILINEAR)


def shapes_dataset(num_train: int = 6, num_test: int = 5, images_per_class: int = 4) -> DatasetDict:
    """Build a data set with the schema of this package, whose splits share no class."""
    names = [f"class {number}" for number in range(num_train + num_test)]
    features = Features({"image": Image(), "label": ClassLabel(names=names), "image_id": Value("string")})

    def part(classes: range) -> Dataset:
        rows = [(class_id, image) for class_id in classes for image in range(images_per_class)]
        return Dataset.from_dict(
            {
                "image": [draw(*row) for row in rows],
                "label": [class_id for class_id, _ in rows],
                "image_id": [f"{class_id}/{image}" for class_id, image in rows],
            },
            features=features,
        )

    return DatasetDict(train=part(range(num_train)), test=part(range(num_train, num_train + num_test)))


def tiny_vit() -> ViTRetModel:
    """Build a ViT of two narrow blocks; every call gives the same weights."""
    torch.manual_seed(0)
    backbone = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=SIDE
    )
    return ViTRetModel(ViTRetConfig(backbone, image_size=SIDE, resize_size=SIDE))


def arguments(output_dir: Path, **changes: Any) -> RetrievalTrainingArguments:
    """Build the settings of a run of six steps, in which only the order of the images is random."""
    settings: dict[str, Any] = {
        "output_dir": str(output_dir),
        "max_steps": 6,
        "per_device_train_batch_size": 8,
        "images_per_class": 2,
        "learning_rate": 1e-3,
        "flip": 0.0,
        "logging_steps": 1,
        "eval_steps": 3,
        "save_steps": 3,
        "use_cpu": True,
        "disable_tqdm": True,
    }
    return RetrievalTrainingArguments(**{**settings, **changes})


def new_trainer(output_dir: Path, model: ViTRetModel | None = None, **changes: Any) -> RetrievalTrainer:
    """Build the trainer; `callbacks` and a `loss` object go to its constructor, other changes to the settings."""
    own = {name: changes.pop(name) for name in ("loss", "callbacks") if not isinstance(changes.get(name, ""), str)}
    dataset = shapes_dataset()
    return RetrievalTrainer(
        model or tiny_vit(), arguments(output_dir, **changes), dataset["train"], dataset["test"], **own
    )


def train(output_dir: Path, **changes: Any) -> RetrievalTrainer:
    """Build the trainer and train."""
    trainer = new_trainer(output_dir, **changes)
    trainer.train()
    return trainer
