"""Do W processes give the gradient and the loss of one with the same batch? Real runs of `RetrievalTrainer` (gloo).

W = 1, 2 and 4 processes, started by `torch.distributed.run`, each with its share of a batch of 64, train a tiny ViT in
float32 with plain SGD, random crops and flips, a memory that wraps and KoLeo. Of each step it is noted, on every rank:
the gradient as the optimizer gets it (after the all-reduce), the logged loss, and a hash of all the memory's state.

The runs go on from their own weights and memory, so what is measured is rounding in the step, not what a rough
landscape makes of it over many: the weights are drawn large, for embeddings that are spread as a pretrained model's
are, and the learning rate is small. (Two processes, ten steps, at rates of 1e-4, 1e-3 and 1e-2: largest error of the
gradient 3e-7, 4e-6 and 2e-2, in each case 2e-7 in the first step.)

Usage: python -m tests.benchmarks.training.distributed_gradient [--steps 20] [--worlds 2 4]
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import TrainerCallback, ViTConfig

from hf_vitret import RetrievalLoss, RetrievalTrainer, ViTRetConfig, ViTRetModel
from hf_vitret.losses import CrossBatchMemory

from ...training import runs
from ..harness.figures import Figure, record

GLOBAL_BATCH, IMAGES_PER_CLASS, CLASSES = 64, 4, 24
MEMORY = 150  # no multiple of the batch: the third step wraps
GRADIENT_BAR, LOSS_BAR = 1e-5, 1e-6


class Witness(TrainerCallback):
    """Note gradient and memory of each step, before the optimizer changes the weights."""

    def __init__(self, memory: CrossBatchMemory) -> None:
        self.memory = memory
        self.gradients: list[torch.Tensor] = []  # of all weights together, (num_weights,)
        self.gradient_hashes: list[str] = []
        self.memory_hashes: list[str] = []
        self.memory_labels: list[list[int]] = []

    def on_pre_optimizer_step(self, *_: Any, model: nn.Module, **__: Any) -> None:
        gradient = torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])
        self.gradients.append(gradient)
        self.gradient_hashes.append(digest([gradient]))
        self.memory_hashes.append(digest([self.memory.state_dict()[name] for name in sorted(self.memory.state_dict())]))
        self.memory_labels.append(self.memory.contents()[1].tolist())


def digest(tensors: list[torch.Tensor]) -> str:
    """Hash the bytes of tensors."""
    state = hashlib.sha256()
    for tensor in tensors:
        state.update(tensor.contiguous().numpy().tobytes())
    return state.hexdigest()


def tiny_vit() -> ViTRetModel:
    """Build a ViT of two narrow blocks with large weights; every call gives the same."""
    torch.manual_seed(0)
    backbone = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=runs.SIDE,
        initializer_range=0.2,
    )
    return ViTRetModel(ViTRetConfig(backbone, image_size=runs.SIDE, resize_size=runs.SIDE + 8))


def train(folder: Path, steps: int) -> None:
    """Train as one of the processes, and write what was seen."""
    model = tiny_vit()
    loss = RetrievalLoss(memory_size=MEMORY, embedding_dim=model.config.output_dim)
    assert loss.memory is not None
    witness = Witness(loss.memory)
    args = runs.arguments(
        folder,
        max_steps=steps,
        per_device_train_batch_size=GLOBAL_BATCH // int(os.environ["WORLD_SIZE"]),
        images_per_class=IMAGES_PER_CLASS,
        flip=0.5,
        optim="sgd",
        learning_rate=1e-4,
        eval_strategy="no",
        save_strategy="no",
        load_best_model_at_end=False,
    )
    images = runs.shapes_dataset(num_train=CLASSES)["train"]
    trainer = RetrievalTrainer(model, args, images, loss=loss, callbacks=[witness])
    trainer.train()
    rank = trainer.args.process_index
    seen = {
        "losses": [line["loss"] for line in trainer.state.log_history if "loss" in line],
        "gradient_hashes": witness.gradient_hashes,
        "memory_hashes": witness.memory_hashes,
        "memory_labels": witness.memory_labels,
    }
    (folder / f"{rank}.json").write_text(json.dumps(seen))
    torch.save(torch.stack(witness.gradients), folder / f"{rank}.pt")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()  # gloo's threads, left to the end of the process, once aborted it


def run(world: int, folder: Path, steps: int) -> tuple[torch.Tensor, list[dict[str, Any]]]:
    """Train with so many processes; return the gradients of rank 0 `(steps, num_weights)`, and what each rank saw."""
    folder.mkdir()
    command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", f"--nproc_per_node={world}"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0", "-m", __spec__.name]
    command += ["--folder", str(folder), "--steps", str(steps)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode:
        sys.exit(f"{world} processes ended with an error:\n{result.stderr}")
    seen = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(world)]
    return torch.load(folder / "0.pt", weights_only=True), seen


def are_equal(seen: list[dict[str, Any]], what: str) -> bool:
    """Say whether all ranks saw the same at every step."""
    return all(rank[what] == seen[0][what] for rank in seen)


def main() -> None:
    """Print the largest errors for each number of processes; exit with status 1 above a bar."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--worlds", type=int, nargs="+", default=[2, 4], help="numbers of processes beside one")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)  # where one of the processes writes
    options = parser.parse_args()
    if options.folder:
        train(options.folder, options.steps)
        return
    failed = False
    print("| processes | images each | gradient, largest relative error | loss, largest | on all ranks |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        gradients, (alone,) = run(1, Path(name) / "1", options.steps)
        print(f"| 1 | {GLOBAL_BATCH} | the reference | the reference | |", flush=True)
        for world in options.worlds:
            ours, seen = run(world, Path(name) / str(world), options.steps)
            gradient_error = ((ours - gradients).norm(dim=1) / gradients.norm(dim=1)).max().item()
            expected = torch.tensor(alone["losses"], dtype=torch.float64)
            losses = torch.tensor(seen[0]["losses"], dtype=torch.float64)
            loss_error = ((losses - expected) / expected).abs().max().item()
            same = all(are_equal(seen, what) for what in ("memory_hashes", "gradient_hashes", "losses"))
            same = same and seen[0]["memory_labels"] == alone["memory_labels"]
            row = f"| {world} | {GLOBAL_BATCH // world} | {gradient_error:.1e} | {loss_error:.1e} |"
            print(f"{row} {'equal' if same else 'NOT equal'} |", flush=True)
            record(
                Figure(f"{world} processes: gradient, largest relative error", gradient_error, bar=GRADIENT_BAR),
                Figure(f"{world} processes: loss, largest relative error", loss_error, bar=LOSS_BAR),
                Figure(f"{world} processes: runs whose ranks differ", int(not same), "of 1", bar=0),
                seed=0,
            )
            failed |= not (same and gradient_error <= GRADIENT_BAR and loss_error <= LOSS_BAR)
    print(
        f"\n{options.steps} steps; on all ranks: memory, gradient and logged loss, and the memory's labels as with one"
    )
    print(f"process (bars: {GRADIENT_BAR:.0e}, {LOSS_BAR:.0e}, equal)")
    if failed:
        sys.exit("not the gradient of one process")


if __name__ == "__main__":
    main()
