"""Kill real training processes with SIGKILL, resume them, and compare with runs that were never stopped, bit by bit.

Half of the kills come as a random step begins, half at a random moment: in the middle of a step, of an evaluation, of
writing or removing a checkpoint. What is compared: every weight, the memory with its pointer, the momentum encoder,
and every number that was logged. The runs have dropout and drop-path, augmentation, a memory that wraps, a momentum
encoder, workers, gradient caching or accumulation, one process or two (tests/training/checkpoints/resume_run.py).

Usage: python -m tests.benchmarks.training.kill_and_resume [--kills 20] [--seed 0]
"""

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.training.checkpoints import resume_run
from tests.training.checkpoints.test_resume import RUN, VARIANTS
from tests.training.distributed.forked import Run, launch

from ..harness.figures import Figure, record


def digests(folder: Path) -> list[Any]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("digest-*.json"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    variants = {name: (changes, 1) for name, changes in VARIANTS.items()}
    variants["two processes"] = ({"per_device_train_batch_size": 4}, 2)
    equal = 0
    print("| kill | run | when | step of the checkpoint resumed from | bit-equal |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as parent:
        whole, seconds = {}, {}
        launch()  # imports, and runs nothing
        for name, (changes, processes) in variants.items():
            whole[name] = Path(parent) / name / "whole"
            began = time.monotonic()
            launch(Run(RUN, [str(whole[name]), changes, 0], processes))
            seconds[name] = time.monotonic() - began
        for kill in range(options.kills):
            name = list(variants)[kill % len(variants)]
            changes, processes = variants[name]
            folder = Path(parent) / name / str(kill)
            resumed = Run(RUN, [str(folder), changes, 0], processes)
            if kill // len(variants) % 2 == 0:
                step = rng.randint(1, resume_run.STEPS)
                when = f"step {step}"
                first = resumed._replace(arguments=[str(folder), changes, step])
            else:
                moment = rng.uniform(0.1, 0.9) * max(1.0, seconds[name])
                when = f"after {moment:.2f} s"
                first = resumed._replace(kill_after=moment)
            launch(first, may_die=True)
            died = not digests(folder)
            steps = sorted(int(path.name.split("-")[1]) for path in folder.glob("checkpoint-*"))
            launch(resumed)
            same = digests(folder) == digests(whole[name]) and len(digests(folder)) == processes
            equal += same
            found = steps[-1] if steps else "none"
            print(f"| {kill + 1} | {name} | {when if died else when + ' (had ended)'} | {found} | {same} |", flush=True)
    print(f"{equal} of {options.kills} bit-equal (bar: all)")
    bar = {"bar": options.kills, "larger_is_better": True}
    record(Figure("killed runs that end bit-equal", equal, f"of {options.kills}", **bar), seed=options.seed)
    if equal < options.kills:
        sys.exit(1)


if __name__ == "__main__":
    main()
