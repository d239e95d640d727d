"""`hf-vitret serve` under load: is a search lost, how long does one take, and does the server grow?

The server is a process of its own, of a ViT-S/14 (or, without its weights, a tiny model) and 64 JPEGs. So many clients
at once each upload one after another over a connection of their own; an answer counts where its first result is the
image itself. Clients and server share the CPUs. Memory is the server's resident size (Linux only): after a first 5 % of
the searches, at the half and at the end; the second half may add 5 %.

Usage: python -m tests.benchmarks.search.serve_load [--searches 2000] [--clients 32] [--image_size 224] [--tiny]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from ..harness.development_data import WEIGHTS
from ..harness.figures import Figure, record
from ..harness.resident import MIB, resident

NUM_IMAGES, SIDE = 64, 448
MOST_GROWTH = 1.05


@dataclass
class Tally:
    """What came back, from all clients."""

    statuses: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)


def write_index(folder: Path, image_size: int, is_tiny: bool) -> None:
    """Write `photos`, `model` and `index`."""
    from hf_vitret import embed_images, load_model
    from hf_vitret.embedding.model_identity import ModelIdentity
    from hf_vitret.indexing.image_index import ImageIndex
    from tests.training.tiny_backbones import tiny

    (folder / "photos").mkdir()
    rng = np.random.default_rng(0)
    paths = []
    for number in range(NUM_IMAGES):
        shapes = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        paths.append(f"{number:02d}.jpg")
        shapes.resize((SIDE, SIDE)).save(folder / "photos" / paths[-1], quality=90)
    model = tiny(embedding_dim=16) if is_tiny or not WEIGHTS.is_dir() else load_model(WEIGHTS, image_size=image_size)
    print(f"model                      {'tiny' if is_tiny else 'ViT-S/14'} at {model.config.image_size} px")
    model.save_pretrained(folder / "model")
    embeddings = embed_images(model, [Image.open(folder / "photos" / path) for path in paths], progress=False)
    columns = {"path": paths}
    ImageIndex.build(embeddings, paths, metadata=columns, model=ModelIdentity.of(model, name="model")).save(
        folder / "index"
    )


@contextmanager
def running_server(folder: Path, *options: str) -> Iterator[tuple[str, int]]:
    """Run the command, and return the address and the number of its process; it must end well."""
    command = [sys.executable, "-m", "hf_vitret", "serve", str(folder / "index")]
    command += ["--model", str(folder / "model"), "--image_dir", str(folder / "photos"), "--port", "0", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in range(3)]
            yield lines[2].removeprefix("Page: ").strip(), process.pid
        finally:
            process.terminate()
            status = process.wait()
    if status:
        raise RuntimeError(f"the server ended with status {status}")


def load(url: str, pid: int, photos: list[bytes], num_searches: int, num_clients: int) -> tuple[Tally, float]:
    """Ask, and return what came back and in how many seconds."""
    tally, lock, numbers = Tally(), threading.Lock(), iter(range(num_searches))
    marks = {num_searches // 20, num_searches // 2, num_searches}

    def ask_on() -> None:
        with httpx.Client(base_url=url, timeout=120) as client:
            while True:
                with lock:
                    number = next(numbers, None)
                if number is None:
                    return
                place = number % len(photos)
                start = time.perf_counter()
                try:
                    answer = client.post("/search", files={"image": photos[place]}, data={"k": "5"})
                    status = str(answer.status_code)
                    if status == "200" and answer.json()["results"][0]["id"] != f"{place:02d}.jpg":
                        status = "200 of another image"
                except httpx.HTTPError as error:
                    status = type(error).__name__
                with lock:
                    tally.seconds.append(time.perf_counter() - start)
                    tally.statuses[status] += 1
                    if len(tally.seconds) in marks:
                        tally.resident.append(resident(process=pid) / MIB)

    start = time.perf_counter()
    threads = [threading.Thread(target=ask_on) for _ in range(num_clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally, time.perf_counter() - start


def main() -> None:
    """Print the figures; exit with status 1 where a search is lost, or the server grows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--searches", type=int, default=2_000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--image_size", type=int, default=224)
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        write_index(folder, options.image_size, options.tiny)
        photos = [path.read_bytes() for path in sorted((folder / "photos").iterdir())]
        with running_server(folder) as (url, pid):
            tally, seconds = load(url, pid, photos, options.searches, options.clients)
            lines = httpx.get(f"{url}/metrics").text.splitlines()
    counts = {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}
    cuts = statistics.quantiles(tally.seconds, n=100, method="inclusive")
    start, half, end = tally.resident
    print(f"searches                   {options.searches} by {options.clients} at once, {seconds:.0f} s, "
          f"{options.searches / seconds:.1f} a second")  # fmt: skip
    print(f"answers                    {dict(tally.statuses)}")
    print(f"seconds of one             p50 {cuts[49]:.3f}, p99 {cuts[98]:.3f}, longest {max(tally.seconds):.3f}")
    steps, embedded = (counts[f"hf_vitret_batch_images_{kind}"] for kind in ("count", "sum"))
    print(f"images a step              {embedded / steps:.1f}")
    print(f"resident, MiB              {start:.0f} after 5 %, {half:.0f} at the half, {end:.0f} at the end")
    lost = options.searches - tally.statuses["200"]
    quartiles = {"low": cuts[24], "high": cuts[74], "spread": "quartiles"}
    beside = {"peer": "at the half", "peer_value": half, "ratio": end / half, "bar": MOST_GROWTH}
    record(
        Figure("searches lost", lost, f"of {options.searches:,}", bar=0),
        Figure(f"searches, {options.clients} at once", options.searches / seconds, "/s", larger_is_better=True),
        Figure("one search, p50", cuts[49], "s", **quartiles),
        Figure("one search, p99", cuts[98], "s"),
        Figure("images a step of the model", embedded / steps, larger_is_better=True),
        Figure("resident size at the end", end, "MiB", **beside),
        seed=0,
    )
    if tally.statuses != {"200": options.searches} or end > MOST_GROWTH * half:
        sys.exit("a search was lost, or the server grew")


if __name__ == "__main__":
    main()
