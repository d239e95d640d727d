"""The share of training that a model waits for its images: what `RetrievalTrainer` itself logs.

A ViT-S/16 with random weights at 224 px in float32, batches of 32, on two cores without workers, as the recipes train
on a CPU: from JPEG photographs of 1,366 x 1,024 pixels, from the same with one worker, and from the Parquet that
`prepare` makes of them at a short side of 256.

Usage: python -m tests.benchmarks.data.data_wait [--steps 5]
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from transformers import ViTConfig

from hf_vitret import RetrievalTrainer, RetrievalTrainingArguments, ViTRetConfig, ViTRetModel, load_retrieval_dataset
from hf_vitret.data.preparation.prepare import prepare_dataset

from ..harness.figures import Figure, record
from .image_pipeline import CROP, RESIZED, photograph, retrieval_dataset

BAR = 0.03
BATCH, NUM_IMAGES = 32, 320


def train(images: Dataset, steps: int, workers: int) -> tuple[list[float], float]:
    """Train for some steps; return the share of waiting in each of the steps after the first, and a step's time."""
    backbone = ViTConfig(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1_536)
    config = ViTRetConfig(backbone, image_size=CROP, resize_size=RESIZED)
    config._attn_implementation = "eager"
    with tempfile.TemporaryDirectory() as folder:
        args = RetrievalTrainingArguments(
            output_dir=folder,
            max_steps=steps,
            per_device_train_batch_size=BATCH,
            use_cpu=True,
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
            disable_tqdm=True,
            report_to="none",
            logging_steps=1,
            dataloader_num_workers=workers,
        )
        trainer = RetrievalTrainer(ViTRetModel(config), args, images)
        seconds = trainer.train().metrics["train_runtime"] / steps
    # Before the first step a loader and its workers are started: once in a run of thousands.
    shares = [line["data_wait"] for line in trainer.state.log_history if "data_wait" in line][1:]
    return shares, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=5)
    options = parser.parse_args()
    dataset = retrieval_dataset(photograph(), NUM_IMAGES)
    with tempfile.TemporaryDirectory() as folder:
        prepare_dataset(dataset, Path(folder) / "prepared", short_side=RESIZED, progress=False)
        prepared = load_retrieval_dataset("catalogue", data_dir=Path(folder) / "prepared")
        runs = {
            "JPEG photographs, no worker": (dataset["train"], 0),
            "JPEG photographs, one worker": (dataset["train"], 1),
            "prepared, no worker": (prepared["train"], 0),
        }
        print(
            f"ViT-S/16, {CROP} px, float32, batch {BATCH}, {torch.get_num_threads()} threads, {options.steps} steps\n"
        )
        print(f"| | waits for data (bar: under {BAR:.0%}) | seconds a step |\n|---|---|---|")
        for name, (images, workers) in runs.items():
            shares, seconds = train(images, options.steps, workers)
            print(f"| {name} | {statistics.median(shares):.2%} | {seconds:.2f} |", flush=True)
            percents = [100 * share for share in shares]
            record(
                Figure.of_repeats(f"waiting for data, {name}", percents, "%", bar=100 * BAR),
                Figure(f"a step, {name}", seconds, "s"),
                seed=0,
            )


if __name__ == "__main__":
    main()
