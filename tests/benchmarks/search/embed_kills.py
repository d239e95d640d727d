"""Kill `hf-vitret embed` with SIGKILL at random moments, start it again, and compare the folders byte by byte.

The folder is killed again and again until it was killed as often as asked for; whenever a run ends well the folder is
compared with one that was never stopped, and a new one is begun. Archives, a table and a folder of images take turns,
as do the ways to store vectors; in every third round of them two processes share the work, killed together.

Usage: python -m tests.benchmarks.search.embed_kills [--kills 20] [--seed 0]
"""

import argparse
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

from hf_vitret import ViTRetConfig, ViTRetModel
from tests.embedding.photographs import all_bytes, write_photos

from ..harness.figures import Figure, record

BACKBONE = {
    "model_type": "vit",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "image_size": 32,
    "patch_size": 8,
}
IMAGES, SHARD_SIZE = 3000, 100


def write_inputs(folder: Path) -> dict[str, str]:
    """Write the same images as a folder, as archives and as a table."""
    photos = write_photos(folder / "photos", IMAGES)
    paths = sorted(photos.rglob("*.png"))
    for first in range(0, IMAGES, SHARD_SIZE):
        (folder / "tars").mkdir(exist_ok=True)
        with tarfile.open(folder / "tars" / f"{first:05d}.tar", "w") as archive:
            for path in paths[first : first + SHARD_SIZE]:
                archive.add(path, path.name)
    for broken in paths[::500]:  # after the archives
        broken.write_bytes(b"broken")
    lines = [f"{path.relative_to(folder)},{number}" for number, path in enumerate(paths)]
    (folder / "table.csv").write_text("\n".join(["path,number", *lines]) + "\n")
    return {"folder, parquet": "photos", "archives, npy": "tars", "table, int8": "table.csv"}


def start(inputs: Path, images: str, output_dir: Path, processes: int) -> list[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "hf_vitret", "embed", inputs / images, "--model", inputs / "model"]
    command += ["--output_dir", output_dir, "--images_per_shard", str(SHARD_SIZE), "--batch_size", "16", "--json"]
    command += ["--file_format", "npy"] if images == "tars" else []
    command += ["--stored_dtype", "int8"] if images == "table.csv" else []
    started = []
    for rank in range(processes):
        launched = {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(processes), "OMP_NUM_THREADS": "1"}
        started.append(subprocess.Popen(command, env=launched, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
    return started


def count_shards(folder: Path) -> int:
    return len(list(folder.glob("embeddings-*")))


def main() -> None:
    """Print a row for each kill; the exit status is 1 where a folder differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, kills, compared, differing = random.Random(options.seed), 0, 0, 0
    with tempfile.TemporaryDirectory() as parent:
        inputs = Path(parent)
        images = write_inputs(inputs)
        ViTRetModel(ViTRetConfig(BACKBONE, image_size=32)).save_pretrained(inputs / "model")
        whole, seconds = {}, 0.0
        for name, source in images.items():
            began = time.monotonic()
            [process] = start(inputs, source, inputs / "whole" / name, 1)
            process.wait()
            seconds = max(seconds, time.monotonic() - began)
            whole[name] = all_bytes(inputs / "whole" / name)
        print("| kill | input | processes | after s | shards there |\n|---|---|---|---|---|")
        run = 0
        while kills < options.kills:
            name = list(images)[run % len(images)]
            folder, processes = inputs / "killed" / str(run), 2 if run // len(images) % 3 == 2 else 1
            run += 1
            ended = False
            while not ended:
                running = start(inputs, images[name], folder, processes)
                moment = rng.uniform(0.3, 1.1) * seconds if kills < options.kills else None
                began = time.monotonic()
                while any(process.poll() is None for process in running):
                    if moment is not None and time.monotonic() - began > moment:
                        for process in running:
                            process.kill()
                    time.sleep(0.005)
                ended = all(process.wait() in (0, 1) for process in running)
                if not ended:
                    kills += 1
                    print(f"| {kills} | {name} | {processes} | {moment:.2f} | {count_shards(folder)} |", flush=True)
            compared += 1
            differing += all_bytes(folder) != whole[name]
    print(f"{kills} kills, {compared} folders finished, {differing} not byte-identical (bar: 0)")
    name = f"folders not byte-identical after {kills} kills"
    record(Figure(name, differing, f"of {compared}", bar=0), seed=options.seed)
    if differing:
        sys.exit(1)


if __name__ == "__main__":
    main()
