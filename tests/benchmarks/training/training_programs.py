"""What the benchmark of training compares and times: the setting, the bare loop, and our trainer."""

import argparse
import itertools
import statistics
import sys
import tempfile
import time
from typing import Any

import torch
from datasets import Dataset
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, PreTrainedModel, TrainerCallback

from hf_vitret import RetrievalLoss, RetrievalTrainer, RetrievalTrainingArguments, ViTRetModel, load_retrieval_dataset
from hf_vitret.data.schema import column_values

from ..harness.development_data import DATA, EMOJI, WEIGHTS
from ..harness.turns import WARM_UP, Turn

BATCH, IMAGES_PER_CLASS, SIDE, RESIZED = 64, 4, 98, 112
LEARNING_RATE, WEIGHT_DECAY = 3e-5, 5e-4


class Witness:
    """See what a backbone gets in each forward, and whether training changes all of its weights."""

    def __init__(self, backbone: nn.Module, options: argparse.Namespace) -> None:
        self.backbone = backbone
        self.options = options
        self.before = {name: weight.detach().clone() for name, weight in self._weights()}
        self.seen: set[tuple[Any, ...]] = set()
        self.steps = 0
        # On its first part: sentence-transformers calls the backbone's `forward` by name, past the hooks.
        self.hook = backbone.embeddings.register_forward_pre_hook(self._note, with_kwargs=True)

    def _weights(self) -> list[tuple[str, nn.Parameter]]:
        # The mask token takes part in no forward.
        return [named for named in self.backbone.named_parameters() if not named[0].endswith("mask_token")]

    def _note(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        pixels = kwargs["pixel_values"] if "pixel_values" in kwargs else args[0]
        precision = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else pixels.dtype
        attention = self.backbone.config._attn_implementation
        self.seen.add((tuple(pixels.shape), precision, attention, module.training))

    def step_done(self) -> None:
        """End the program, while it still warms up, where its steps are not like those of the others."""
        self.steps += 1
        if self.steps < WARM_UP:
            return
        if self.steps > WARM_UP:
            self.hook.remove()
            return
        precision = torch.float32 if self.options.float32 else torch.bfloat16
        expected = {((BATCH, 3, SIDE, SIDE), precision, self.options.attention, True)}
        if self.seen != expected:
            sys.exit(f"not like for like: the backbone got {self.seen}, expected {expected}")
        same = [name for name, weight in self._weights() if weight.equal(self.before[name])]
        if same:
            sys.exit(f"not all of the backbone is trained: {len(same)} weights stayed as they were: {same[:5]}")
        self.before.clear()


class StepTurns(TrainerCallback):
    """Take a trainer's steps in turn with other programs."""

    def __init__(self, turn: Turn, witness: Witness) -> None:
        self.turn, self.witness = turn, witness

    def on_train_begin(self, *_: object, **__: object) -> None:
        self.turn.wait()

    def on_step_end(self, *_: object, **__: object) -> None:
        self.witness.step_done()
        self.turn.step_done()


def train_images() -> Dataset:
    """Load the training classes of the emoji; end the benchmark, loudly, where they are missing."""
    if not DATA.exists():
        sys.exit(f"SKIPPED: the development data is not at {DATA}")
    return load_retrieval_dataset("catalogue", data_dir=EMOJI, label_column="name")["train"]


def plain_backbone(attention: str) -> PreTrainedModel:
    """Load the pretrained ViT-S as transformers has it, in float32."""
    return AutoModel.from_pretrained(WEIGHTS, dtype=torch.float32, attn_implementation=attention)


def run_settings(folder: str, options: argparse.Namespace) -> dict[str, Any]:
    """Give what any trainer of transformers' kind is told: the same optimiser and precision, and no more work."""
    return {
        "output_dir": folder,
        "max_steps": 2 * options.steps,  # it is stopped from outside
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


def bare_loop(turn: Turn, options: argparse.Namespace) -> None:
    """Train on four batches in memory."""
    torch.set_num_threads(options.threads)
    backbone = plain_backbone(options.attention).train()
    pixels = torch.randn(4, BATCH, 3, SIDE, SIDE)
    labels = torch.arange(BATCH).div(IMAGES_PER_CLASS, rounding_mode="floor")  # (batch,)
    same = labels[:, None] == labels  # (batch, batch) bool
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    witness = Witness(backbone, options)
    turn.wait()
    for step in itertools.count():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not options.float32):
            hidden = backbone(pixels[step % len(pixels)]).last_hidden_state
        embeddings = F.normalize(hidden[:, 0].float(), dim=1)
        scores = embeddings @ embeddings.T
        loss = torch.where(same, 1 - scores, (scores - 0.5).relu()).sum() / BATCH
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        witness.step_done()
        turn.step_done()


def retrieval_trainer(turn: Turn, options: argparse.Namespace) -> None:
    """Train with `RetrievalTrainer` and its default objective, the memory full."""
    torch.set_num_threads(options.threads)
    images = train_images()
    model = ViTRetModel.from_backbone(
        WEIGHTS, image_size=SIDE, resize_size=RESIZED, attn_implementation=options.attention
    )
    dim = model.config.output_dim
    loss = RetrievalLoss(memory_size=len(images), embedding_dim=dim)
    assert loss.memory is not None
    loss.memory.enqueue(F.normalize(torch.randn(len(images), dim), dim=1), torch.tensor(column_values(images, "label")))
    turns = StepTurns(turn, Witness(model.backbone, options))
    with tempfile.TemporaryDirectory() as folder:
        args = RetrievalTrainingArguments(
            **run_settings(folder, options), images_per_class=IMAGES_PER_CLASS, load_best_model_at_end=False
        )
        RetrievalTrainer(model, args, images, loss=loss, callbacks=[turns]).train()


def parse_options(description: str | None) -> argparse.Namespace:
    """Read the options, and set the threads of this process."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=25, help=f"steps of each, of which {WARM_UP} warm up")
    parser.add_argument("--workers", type=int, default=0, help="processes that decode; 0: none beside the model's")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--attention", default="eager", help="eager or sdpa, for all")
    parser.add_argument("--float32", action="store_true", help="without autocast")
    options = parser.parse_args()
    if options.steps <= WARM_UP:
        parser.error(f"expected more than {WARM_UP} steps, which warm up; got {options.steps}")
    torch.set_num_threads(options.threads)
    return options


def header(options: argparse.Namespace) -> str:
    """Say what is compared, and how fast bf16 is here."""
    line = (
        f"ViT-S, {SIDE} px, batch {BATCH}, {'float32' if options.float32 else 'bf16'}, {options.attention} attention, "
    )
    line += f"{options.threads} threads, {options.workers} workers, {options.steps - WARM_UP} steps of each in turn\n"
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
