"""Peak memory of a training step beside the bare backbone's forward and backward, each in fresh processes.

The bare step is forward and backward of the backbone alone, on a batch of normalised float32 pixels in memory. The
trainer's is a whole step of `RetrievalTrainer.train()`: reading and augmenting the batch, embedding, the contrastive
loss against the batch and a full memory of 59,551 x 384, KoLeo, backward, the optimizer's step and the log. Both train
a ViT-S/14 in float32 under bf16 autocast (`--float32`: without, for processors that are slow in bf16), batch 64. The
optimizer is plain SGD, which keeps nothing: AdamW would add the same 8 bytes a weight to both, and so bring the ratio
nearer to 1.

Both processes import the same, build the same model and run one bare step. What is resident then is the base; a peak
is the largest resident size during the measured steps (VmHWM, reset before them: Linux only) less the base, so it holds
all that the trainer and the loss keep, and the gradients and activations of both. The memory's own rows and labels are
subtracted. glibc is told to give freed memory back at once, else the figures depend on what it holds on to.

Usage: python -m tests.benchmarks.training.step_memory [--sides 98 224] [--repeats 3] [--threads 2] [--attention eager]
       [--float32]
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from typing import Any

import numpy as np
import torch
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as Pillow
from torch.nn import functional as F
from transformers import Dinov2Config, TrainerCallback

from hf_vitret import RetrievalLoss, RetrievalTrainer, RetrievalTrainingArguments, ViTRetConfig, ViTRetModel

from ..harness.figures import Figure, record
from ..harness.resident import MIB, reset_peak, resident

BATCH, CLASSES, IMAGES_PER_CLASS = 64, 32, 4
MEMORY, DIM, MEMORY_CLASSES = 59_551, 384, 11_318  # Stanford Online Products, as in the paper
WARM_UP, MEASURED = 2, 3
BAR = 0.05
# One arena, and a mapping of its own for all that is larger than 64 KiB: what is freed leaves the resident size.
ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


class Peak:
    """The largest resident size since it was made; of the whole process where the kernel does not let it start anew."""

    def __init__(self) -> None:
        try:
            reset_peak()
            self.is_reset = True
        except OSError:
            self.is_reset = False

    def read(self) -> float:
        """Return it in MiB."""
        return resident("VmHWM") / MIB if self.is_reset else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def build_model(side: int, attention: str) -> ViTRetModel:
    """Build a ViT-S/14 with random weights: their values take no memory."""
    backbone = Dinov2Config(hidden_size=DIM, num_hidden_layers=12, num_attention_heads=6, patch_size=14, image_size=518)
    config = ViTRetConfig(backbone, image_size=side)
    config._attn_implementation = attention
    return ViTRetModel(config)


def bare_step(model: ViTRetModel, pixels: torch.Tensor, precision: str) -> None:
    """Run forward and backward of the backbone, and drop the gradients."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
        hidden = model.backbone(pixels).last_hidden_state
    hidden[:, 0].sum().backward()
    model.zero_grad()


def drawn_images(side: int) -> Dataset:
    """Draw the training set, two batches of noise, and keep it in memory."""
    rng = np.random.default_rng(0)
    names = [f"class {number}" for number in range(CLASSES)]
    noise = rng.integers(0, 256, (CLASSES * IMAGES_PER_CLASS, 8, 8, 3), dtype=np.uint8)
    columns = {
        "image": [Pillow.fromarray(drawing).resize((side, side), Pillow.Resampling.BILINEAR) for drawing in noise],
        "label": [row // IMAGES_PER_CLASS for row in range(len(noise))],
        "image_id": [str(row) for row in range(len(noise))],
    }
    features = Features({"image": Image(), "label": ClassLabel(names=names), "image_id": Value("string")})
    return Dataset.from_dict(columns, features=features)


def full_loss() -> RetrievalLoss:
    """Build the default objective with its memory full of random vectors."""
    loss = RetrievalLoss(memory_size=MEMORY, embedding_dim=DIM)
    assert loss.memory is not None
    for rows in torch.arange(MEMORY).split(1_024):  # in parts: whole copies would count where the peak is not reset
        embeddings = F.normalize(torch.randn(len(rows), DIM), dim=1)
        loss.memory.enqueue(embeddings, torch.randint(MEMORY_CLASSES, (len(rows),)))
    return loss


class Measure(TrainerCallback):
    """Take the peak over the steps after the warm-up, and what is resident between two steps."""

    def __init__(self) -> None:
        self.peak, self.at_rest = 0.0, 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == WARM_UP:
            self.at_rest = resident() / MIB
            self.counter = Peak()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.peak = self.counter.read() if state.global_step > WARM_UP else 0.0


def measure(variant: str, side: int, threads: int, attention: str, precision: str) -> dict[str, float | bool]:
    """Measure one variant in this process, in MiB above the base."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = build_model(side, attention).train()
    bare_step(model, torch.randn(BATCH, 3, side, side), precision)
    base = resident() / MIB
    if variant == "bare":
        pixels = torch.randn(BATCH, 3, side, side)
        for _ in range(WARM_UP):
            bare_step(model, pixels, precision)
        at_rest, counter = resident() / MIB, Peak()
        for _ in range(MEASURED):
            bare_step(model, pixels, precision)
        return {"peak": counter.read() - base, "at_rest": at_rest - base, "is_reset": counter.is_reset}
    watch = Measure()
    with tempfile.TemporaryDirectory() as folder:
        args = RetrievalTrainingArguments(
            output_dir=folder,
            max_steps=WARM_UP + MEASURED,
            per_device_train_batch_size=BATCH,
            images_per_class=IMAGES_PER_CLASS,
            optim="sgd",
            weight_decay=0.0,
            bf16=precision == "bf16",
            use_cpu=True,
            eval_strategy="no",
            save_strategy="no",
            load_best_model_at_end=False,
            logging_steps=1,
            disable_tqdm=True,
            dataloader_num_workers=0,
        )
        images = drawn_images(model.config.resize_size)
        RetrievalTrainer(model, args, images, loss=full_loss(), callbacks=[watch]).train()
    buffer = MEMORY * (4 * DIM + 8) / MIB  # float32 rows and int64 labels
    return {
        "peak": watch.peak - base - buffer,
        "at_rest": watch.at_rest - base - buffer,
        "is_reset": watch.counter.is_reset,
    }


def in_a_process(*case: str) -> dict[str, Any]:
    """Measure one variant in a fresh process."""
    command = [sys.executable, "-m", __spec__.name, "--case", *case]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **ALLOCATOR}, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(case)} ended with an error:\n{result.stderr}")
    seen: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return seen


def table(side: int, repeats: int, threads: int, attention: str, precision: str) -> float:
    """Print the peaks at one size of image; return by which part the trainer's is larger."""
    seen: dict[str, list[dict[str, Any]]] = {"bare": [], "trainer": []}
    for _ in range(repeats):
        for variant, results in seen.items():
            results.append(in_a_process(variant, str(side), str(threads), attention, precision))
    bare = statistics.median(result["peak"] for result in seen["bare"])
    setting = f"{side} px, batch {BATCH}, {precision}, {attention} attention, {threads} threads"
    print(f"\n{setting}; MiB, {repeats} processes each\n")
    print("| | peak, median | least | most | / bare | at rest, median |\n|---|---|---|---|---|---|")
    names = {"bare": "forward and backward of the backbone", "trainer": "a step of RetrievalTrainer, less the memory"}
    for variant, results in seen.items():
        peaks = [result["peak"] for result in results]
        at_rest = statistics.median(result["at_rest"] for result in results)
        row = f"| {names[variant]} | {statistics.median(peaks):.1f} | {min(peaks):.1f} | {max(peaks):.1f} |"
        print(f"{row} {statistics.median(peaks) / bare:.3f} | {at_rest:.1f} |", flush=True)
    if not all(result["is_reset"] for results in seen.values() for result in results):
        print("the peak could not be reset: these are peaks of whole processes (ru_maxrss)")
    peaks = [result["peak"] for result in seen["trainer"]]
    beside = {"peer": names["bare"], "peer_value": bare, "ratio": statistics.median(peaks) / bare, "bar": 1 + BAR}
    record(Figure.of_repeats(f"peak of a step, {side} px, {precision}", peaks, "MiB", **beside), seed=0)
    return statistics.median(result["peak"] for result in seen["trainer"]) / bare - 1


def main() -> None:
    """Print a table for each size of image, and the larger of the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[98, 224], help="sides of the images in pixels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--attention", default="eager", help="eager or sdpa")
    parser.add_argument("--float32", action="store_true", help="without autocast")
    parser.add_argument("--case", nargs=5, help=argparse.SUPPRESS)  # what a process of its own measures
    options = parser.parse_args()
    if options.case:
        variant, side, threads, attention, precision = options.case
        print(json.dumps(measure(variant, int(side), int(threads), attention, precision)))
        return
    print(f"memory of {MEMORY:,} x {DIM}: {MEMORY * 4 * DIM / MIB:.1f} MiB of rows, {MEMORY * 8 / MIB:.1f} of labels")
    precision = "float32" if options.float32 else "bf16"
    more = [table(side, options.repeats, options.threads, options.attention, precision) for side in options.sides]
    print(f"\nmore than the backbone's, at most: {max(more):+.1%} (bar: at most {BAR:.0%})")


if __name__ == "__main__":
    main()
