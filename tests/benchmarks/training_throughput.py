"""Images a second of the trainer against a bare loop around the same backbone, alternated in one process, on the CPU.

The bare loop has its batches in memory, already cropped and normalised, and does what no training can leave out:
forward and backward of the backbone, one matrix product for a loss, the AdamW step. The trainer reads, decodes and
augments its images, compares with a memory of the whole training set (full from the first step on, as it is for
nearly all of a run), adds KoLeo, logs. Both in bf16 autocast, with one implementation of attention: by default the
one that the recipes choose on a CPU, which is the faster, so that what is left to the trainer weighs more. For the same
reason, a processor without bf16 of its own, which is slower in it than in float32, shows ratios that flatter: the
header says so, and `--float32` is for it.

Usage: python -m tests.benchmarks.training_throughput [--steps 20] [--rounds 3] [--workers 0] [--threads 2]
       [--attention eager] [--float32]
"""

import argparse
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch.nn import functional as F
from transformers import TrainerCallback

from hf_vitret import RetrievalLoss, RetrievalTrainer, RetrievalTrainingArguments, ViTRetModel, load_retrieval_dataset
from hf_vitret.data.schema import column_values

DATA = Path(__file__).parents[3] / "shared" / "data"
BACKBONE = DATA / "dinov2-small-saliency"
BATCH, IMAGES_PER_CLASS, SIDE, RESIZED, WARM_UP = 64, 4, 98, 112, 3
LEARNING_RATE, WEIGHT_DECAY = 3e-5, 5e-4
BAR = 0.95


class StepTimes(TrainerCallback):
    """Note when each step ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        self.ends.append(time.perf_counter())


def images_per_second(ends: list[float]) -> float:
    """Compute the rate of the median step from the ends of the steps, the first of which warm up.

    A mean would tell of the one step in which another program had the machine.
    """
    measured = ends[WARM_UP:]
    return BATCH / statistics.median(end - begin for begin, end in pairwise(measured))


def train_images() -> Dataset:
    """Load the training classes of the emoji; end the benchmark, loudly, where they are missing."""
    if not DATA.exists():
        sys.exit(f"SKIPPED: the development data is not at {DATA}")
    return load_retrieval_dataset("catalogue", data_dir=DATA / "emoji.parquet", label_column="name")["train"]


def build_model(attention: str) -> ViTRetModel:
    """Build the pretrained ViT-S, in float32."""
    return ViTRetModel.from_backbone(BACKBONE, image_size=SIDE, resize_size=RESIZED, attn_implementation=attention)


def run_settings(folder: str, options: argparse.Namespace) -> dict[str, Any]:
    """Give what any trainer of transformers' kind is told: the same optimiser and precision, and no more work."""
    return {
        "output_dir": folder,
        "max_steps": options.steps,
        "per_device_train_batch_size": BATCH,
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 0.0,
        "bf16": not options.float32,
        "use_cpu": True,
        "eval_strategy": "no",
        "save_strategy": "no",
        "logging_steps": 50,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_num_workers": options.workers,
    }


def bare_loop(model: ViTRetModel, options: argparse.Namespace) -> list[float]:
    """Train on four batches in memory; return the ends of the steps."""
    pixels = torch.randn(4, BATCH, 3, SIDE, SIDE)
    labels = torch.arange(BATCH).div(IMAGES_PER_CLASS, rounding_mode="floor")  # (batch,)
    same = labels[:, None] == labels  # (batch, batch) bool
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    model.train()
    ends = []
    for step in range(options.steps):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not options.float32):
            hidden = model.backbone(pixels[step % len(pixels)]).last_hidden_state
        embeddings = F.normalize(hidden[:, 0].float(), dim=1)
        scores = embeddings @ embeddings.T
        loss = torch.where(same, 1 - scores, (scores - 0.5).relu()).sum() / BATCH
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        ends.append(time.perf_counter())
    return ends


def retrieval_trainer(model: ViTRetModel, images: Dataset, options: argparse.Namespace) -> list[float]:
    """Train with `RetrievalTrainer` and its default objective, the memory full; return the ends of the steps."""
    dim = model.config.output_dim
    loss = RetrievalLoss(memory_size=len(images), embedding_dim=dim)
    assert loss.memory is not None
    loss.memory.enqueue(F.normalize(torch.randn(len(images), dim), dim=1), torch.tensor(column_values(images, "label")))
    times = StepTimes()
    with tempfile.TemporaryDirectory() as folder:
        args = RetrievalTrainingArguments(
            **run_settings(folder, options), images_per_class=IMAGES_PER_CLASS, load_best_model_at_end=False
        )
        RetrievalTrainer(model, args, images, loss=loss, callbacks=[times]).train()
    return times.ends


def parse_options(description: str | None) -> argparse.Namespace:
    """Read the options, and set the threads of this process."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--steps", type=int, default=20, help=f"steps a round, of which {WARM_UP + 1} warm up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0, help="processes that decode; 0: none beside the model's")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--attention", default="eager", help="eager or sdpa, for all")
    parser.add_argument("--float32", action="store_true", help="without autocast")
    options = parser.parse_args()
    if options.steps < WARM_UP + 2:
        parser.error(f"expected at least {WARM_UP + 2} steps, of which {WARM_UP + 1} warm up; got {options.steps}")
    torch.set_num_threads(options.threads)
    return options


def header(options: argparse.Namespace) -> str:
    """Say what is compared, and how fast bf16 is here."""
    line = (
        f"ViT-S, {SIDE} px, batch {BATCH}, {'float32' if options.float32 else 'bf16'}, {options.attention} attention, "
    )
    line += f"{options.threads} threads, {options.workers} workers, {options.rounds} rounds of {options.steps} steps\n"
    seconds = {}
    for dtype in (torch.float32, torch.bfloat16):
        tokens, weight = torch.randn(BATCH * 50, 384).to(dtype), torch.randn(1_536, 384).to(dtype)  # of one layer
        times = []
        for _ in range(11):
            start = time.perf_counter()
            F.linear(tokens, weight)
            times.append(time.perf_counter() - start)
        seconds[dtype] = statistics.median(times)
    ratio = seconds[torch.bfloat16] / seconds[torch.float32]
    line += f"a product in bf16 takes {ratio:.2f} times as long as in float32"
    slow = ratio > 1 and not options.float32
    return line + (": this processor has no bf16, and the ratios below FLATTER; use --float32\n" if slow else "\n")


def main() -> None:
    """Print the table and the ratio."""
    options = parse_options(__doc__)
    images = train_images()
    model = build_model(options.attention)
    bare, ours = [], []
    for _ in range(options.rounds):
        bare.append(images_per_second(bare_loop(model, options)))
        ours.append(images_per_second(retrieval_trainer(model, images, options)))
    ratios = [one / other for one, other in zip(ours, bare)]
    print(header(options))
    print("| | images a second, median | least | most |\n|---|---|---|---|")
    for name, values in (("bare loop", bare), ("RetrievalTrainer", ours)):
        print(f"| {name} | {statistics.median(values):.1f} | {min(values):.1f} | {max(values):.1f} |")
    print(f"ratio, median of {options.rounds} pairs: {statistics.median(ratios):.3f} (bar: at least {BAR})")


if __name__ == "__main__":
    main()
