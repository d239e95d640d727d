"""Images a second of the trainer against a bare loop around the same backbone, alternated in one process.

The bare loop has its batches in memory, already cropped and normalised, and does what no training can leave out:
forward and backward of the backbone, one matrix product for a loss, the AdamW step. The trainer reads, decodes and
augments its images, keeps its memory of the whole training set, adds KoLeo, logs. Both in bf16 autocast.

Usage: python -m tests.benchmarks.training_throughput [--steps 20] [--rounds 3] [--workers 0]
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch
from torch.nn import functional as F
from transformers import TrainerCallback

from hf_vitret import RetrievalTrainer, RetrievalTrainingArguments, ViTRetModel, load_retrieval_dataset

DATA = Path(__file__).parents[3] / "shared" / "data"
BATCH, SIDE, WARM_UP = 64, 98, 3
BAR = 0.95


class StepTimes(TrainerCallback):
    """Note when each step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        self.ends.append(time.perf_counter())


def images_per_second(ends: list[float]) -> float:
    return BATCH * (len(ends) - 1 - WARM_UP) / (ends[-1] - ends[WARM_UP])


def bare_loop(model: ViTRetModel, pixels: torch.Tensor, labels: torch.Tensor, steps: int) -> float:
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-5, weight_decay=5e-4, fused=True)
    model.train()
    ends = []
    for step in range(steps):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = model.backbone(pixels[step % len(pixels)]).last_hidden_state
        embeddings = F.normalize(hidden[:, 0].float(), dim=1)
        same = labels[step % len(labels)][:, None] == labels[step % len(labels)]
        scores = embeddings @ embeddings.T
        loss = torch.where(same, 1 - scores, (scores - 0.5).relu()).sum() / BATCH
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        ends.append(time.perf_counter())
    return images_per_second(ends)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"SKIPPED: the development data is not at {DATA}")
    dataset = load_retrieval_dataset("catalogue", data_dir=DATA / "emoji.parquet", label_column="name")
    model = ViTRetModel.from_backbone(DATA / "dinov2-small-saliency", image_size=SIDE, resize_size=112)
    pixels = torch.randn(4, BATCH, 3, SIDE, SIDE)
    labels = torch.arange(BATCH).div(4, rounding_mode="floor").repeat(4, 1)
    bare, ours = [], []
    for _ in range(options.rounds):
        bare.append(bare_loop(model, pixels, labels, options.steps))
        with tempfile.TemporaryDirectory() as folder:
            args = RetrievalTrainingArguments(
                output_dir=folder,
                max_steps=options.steps,
                bf16=True,
                eval_strategy="no",
                save_strategy="no",
                load_best_model_at_end=False,
                disable_tqdm=True,
                dataloader_num_workers=options.workers,
            )
            times = StepTimes()
            RetrievalTrainer(model, args, dataset["train"], callbacks=[times]).train()
            ours.append(images_per_second(times.ends))
    ratios = [one / other for one, other in zip(ours, bare)]
    print("| | images a second, median | least | most |\n|---|---|---|---|")
    for name, values in (("bare loop", bare), ("RetrievalTrainer", ours)):
        print(f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} | {max(values):.1f} |")
    print(f"ratio, median of {options.rounds} pairs: {statistics.median(ratios):.3f} (bar: at least {BAR})")


if __name__ == "__main__":
    main()
