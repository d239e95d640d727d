"""Gradient caching on a pretrained ViT-S: gradient, all-reduces and peak memory of one large contrastive batch.

Gradient: an effective batch in micro-batches against one graph over all of it, in float32, with the backbone's
dropout and drop-path on. All-reduces: DDP on two processes (gloo), counted by a communication hook. Memory: the
resident peak of a step of the trainer's own (memory of 59,551, KoLeo, AdamW, bf16 where the CPU is fast in it), each in
a fresh process, for the effective batch in micro-batches and for the micro-batch alone.

Usage: python -m tests.benchmarks.training.gradient_caching [--batch 1024] [--micro_batch 32] [--rounds 3]
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from hf_vitret import (
    RetrievalLoss,
    RetrievalTrainer,
    RetrievalTrainingArguments,
    ViTRetModel,
    load_retrieval_dataset,
)
from hf_vitret.inference.fast_bf16 import has_fast_bf16
from hf_vitret.training.steps.gradient_caching import CachedBatch
from tests.training.distributed.all_reduce_run import Counter
from tests.training.distributed.forked import Run, launch

from ..harness.development_data import DATA, EMOJI, WEIGHTS
from ..harness.figures import Figure, record
from ..harness.resident import MIB, reset_peak, resident

SIDE, DIM, MEMORY = 98, 384, 59_551
ERROR_BAR, MEMORY_BAR = 1e-5, 1.15


def pretrained(**overrides: Any) -> ViTRetModel:
    return ViTRetModel.from_backbone(
        WEIGHTS,
        image_size=SIDE,
        resize_size=112,
        attn_implementation="eager",
        backbone_overrides=overrides or None,
    )


def gradient_error(batch: int, micro_batch: int) -> float:
    """Return the relative error of the gradient of all weights; a small batch, for the plain graph must fit too."""
    pixels = torch.randint(
        0, 256, (batch, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    labels = torch.arange(batch) // 4
    gradients = []
    for is_cached in (False, True):
        model = pretrained(hidden_dropout_prob=0.1, drop_path_rate=0.2).train()
        loss = RetrievalLoss(memory_size=MEMORY, embedding_dim=DIM).train()
        rng = torch.Generator().manual_seed(1)
        filling = torch.nn.functional.normalize(torch.randn(MEMORY - 7, DIM, generator=rng), dim=1)
        loss.memory.enqueue(filling, torch.arange(MEMORY - 7) % 11_318)  # this batch wraps it
        torch.manual_seed(5)
        if is_cached:
            cached = CachedBatch(model, {"pixel_values": pixels}, micro_batch)
            loss(cached.embeddings, labels)["loss"].backward()
            cached.backward()
        else:
            embeddings = torch.cat([model(part).embeddings for part in pixels.split(micro_batch)])
            loss(embeddings, labels)["loss"].backward()
        gradients.append(torch.cat([weight.grad.flatten() for weight in model.parameters()]))
    return float((gradients[1] - gradients[0]).norm() / gradients[0].norm())


def count_all_reduces(folder: str, batch: int, micro_batch: int) -> None:
    """Write how often DDP reduces a bucket in one step of this process's share of the batch."""
    counter = Counter()
    trainer = counter.trainer = new_trainer(folder, batch // 2, micro_batch, max_steps=1, callbacks=[counter])
    trainer.train()
    (Path(folder) / f"counts-{trainer.args.process_index}.json").write_text(json.dumps(counter.counts))


def all_reduces(batch: int, micro_batch: int) -> int:
    """Count on two processes."""
    with tempfile.TemporaryDirectory() as folder:
        launch(Run("tests.benchmarks.training.gradient_caching:count_all_reduces", [folder, batch, micro_batch], 2))
        return int(json.loads((Path(folder) / "counts-0.json").read_text())[0])


def new_trainer(folder: str, batch: int, micro_batch: int, callbacks: list[Any] | None = None, **changes: Any) -> Any:
    dataset = load_retrieval_dataset("catalogue", data_dir=EMOJI, label_column="name")
    args = RetrievalTrainingArguments(
        output_dir=folder,
        per_device_train_batch_size=batch,
        micro_batch_size=micro_batch,
        memory_size=MEMORY,
        bf16=has_fast_bf16(),
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
        disable_tqdm=True,
        **changes,
    )
    return RetrievalTrainer(pretrained(), args, dataset["train"], callbacks=callbacks)


def measure(batch: int, micro_batch: int) -> None:
    """Print the peak resident size of two steps of the trainer, MiB."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = new_trainer(folder, batch, micro_batch, max_steps=2)
        reset_peak()
        trainer.train()
        print(resident("VmHWM") / MIB)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--micro_batch", type=int, default=32)
    parser.add_argument("--gradient_batch", type=int, default=256, help="Batch of the comparison of gradients.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not DATA.exists():
        sys.exit(f"SKIPPED: the development data is not at {DATA}")
    if options.measure:
        measure(options.measure, options.micro_batch)
        return
    error = gradient_error(options.gradient_batch, options.micro_batch)
    compared = f"gradient, batch {options.gradient_batch} in {options.micro_batch}"
    print(f"{compared}: relative error {error:.1e} (bar: {ERROR_BAR:g})")
    cached, whole = all_reduces(options.batch, options.micro_batch), all_reduces(64, 32)
    parts = options.batch // 2 // options.micro_batch
    print(
        f"all-reduces a step, two processes: {cached} with {parts} micro-batches each, {whole} with one (bar: as many)"
    )
    peaks: dict[int, list[float]] = {options.micro_batch: [], options.batch: []}
    # One arena, and freed memory goes back to the system: else the peak tells of the allocator.
    environment = os.environ | {
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "MALLOC_TRIM_THRESHOLD_": "65536",
    }
    for _ in range(options.rounds):
        for batch, found in peaks.items():
            command = [sys.executable, "-m", "tests.benchmarks.training.gradient_caching", "--measure", str(batch)]
            command += ["--micro_batch", str(options.micro_batch)]
            result = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
            found.append(float(result.stdout.splitlines()[-1]))
    print("| batch | peak of the process, MiB, median | least | most |\n|---|---|---|---|")
    for batch, found in peaks.items():
        figures = " | ".join(f"{figure(found):.0f}" for figure in (statistics.median, min, max))
        print(f"| {batch} in micro-batches of {options.micro_batch} | {figures} |")
    small, large = (statistics.median(found) for found in peaks.values())
    print(f"ratio: {large / small:.3f} (bar: at most {MEMORY_BAR})")
    alone = {"peer": "the micro-batch alone", "peer_value": small, "ratio": large / small, "bar": MEMORY_BAR}
    once = {"peer": "with one micro-batch", "peer_value": whole, "ratio": cached / whole, "bar": 1.0}
    record(
        Figure(f"{compared}: relative error", error, bar=ERROR_BAR),
        Figure(f"all-reduces a step, {parts} micro-batches", cached, **once),
        Figure.of_repeats(f"peak, batch {options.batch}", peaks[options.batch], "MiB", **alone),
        seed=0,
    )


if __name__ == "__main__":
    main()
