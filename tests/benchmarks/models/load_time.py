"""How long `from_pretrained` of a ViT-S takes beside that of its plain backbone, from the same disk, in turn.

Both are read from folders in float32, in one process that has imported everything and has loaded each before: what is
timed is building the model and reading its weights.

Usage: python -m tests.benchmarks.models.load_time
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModel, Dinov2Config, Dinov2Model
from transformers.utils import logging

from hf_vitret import ViTRetModel

from ..harness.figures import Figure, record

BAR = 1.1


def seconds(load: Callable[[Path], object], folder: Path) -> float:
    start = time.perf_counter()
    load(folder)
    return time.perf_counter() - start


def main() -> None:
    """Print both medians and their ratio; exit with status 1 above the bar."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="timed rounds, after two that are thrown away")
    rounds = parser.parse_args().rounds
    logging.disable_progress_bar()
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        plain, ours = Path(name) / "backbone", Path(name) / "vitret"
        Dinov2Model(Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518)).save_pretrained(plain)
        ViTRetModel.from_backbone(plain, image_size=224).save_pretrained(ours)
        ways: list[tuple[Callable[[Path], object], Path]] = [
            (AutoModel.from_pretrained, plain),
            (ViTRetModel.from_pretrained, ours),
        ]
        timed = [[seconds(*way) for way in ways] for _ in range(rounds + 2)][2:]
        megabytes = (ours / "model.safetensors").stat().st_size / 1e6
    theirs, mine = (statistics.median(times) for times in zip(*timed, strict=True))
    # Of each round: a machine whose speed drifts is the same for both.
    ratio = statistics.median(mine / theirs for theirs, mine in timed)
    print(f"ViT-S, {megabytes:.0f} MB, medians of {rounds} rounds in turn")
    print(f"plain backbone     {1000 * theirs:7.1f} ms")
    print(f"ViTRetModel        {1000 * mine:7.1f} ms")
    print(f"ratio              {ratio:7.3f} (bar {BAR})")
    times = [1000 * mine for _, mine in timed]
    beside = {"peer": "plain backbone", "peer_value": 1000 * theirs, "ratio": ratio, "bar": BAR}
    record(Figure.of_repeats("ViTRetModel.from_pretrained", times, "ms", **beside), seed=0)
    if ratio > BAR:
        sys.exit("a checkpoint takes too long to load")


if __name__ == "__main__":
    main()
