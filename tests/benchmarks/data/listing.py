"""Seconds and peak memory to list a folder of many small images, against the `imagefolder` of `datasets`.

The files are copies of one JPEG image, in a folder for each class. Each loader runs in a process of its own, in turn.
The time is that of the load alone, without most imports, and the cache of `imagefolder` is a new folder each time.
Linux only.

Usage: python -m tests.benchmarks.data.listing [--images 100000] [--classes 5000] [--repeats 3]
"""

import argparse
import io
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from PIL import Image

from ..harness.figures import Figure, record
from ..harness.resident import MIB, resident

TIME_BAR = 0.5  # of the time of `imagefolder`
MEMORY_BAR = 400  # MiB


def write_images(folder: Path, num_images: int, num_classes: int) -> None:
    """Write the images, equally many in each class."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 90, 9)).save(stream, "JPEG")
    for number in range(num_images):
        parent = folder / f"class {number % num_classes:05d}"
        if number < num_classes:
            parent.mkdir(parents=True)
        (parent / f"{number // num_classes}.jpg").write_bytes(stream.getvalue())


def ours(folder: str, cache: str) -> tuple[float, int]:
    """Load with this package; return the seconds and the number of images."""
    import datasets

    from hf_vitret.data import load_retrieval_dataset

    del cache
    datasets.disable_progress_bars()
    begin = time.perf_counter()
    dataset = load_retrieval_dataset("catalogue", folder)
    return time.perf_counter() - begin, sum(map(len, dataset.values()))


def imagefolder(folder: str, cache: str) -> tuple[float, int]:
    """Load with `datasets`; return the seconds and the number of images."""
    import datasets

    datasets.disable_progress_bars()
    begin = time.perf_counter()
    dataset = datasets.load_dataset("imagefolder", data_dir=folder, cache_dir=cache)
    return time.perf_counter() - begin, sum(map(len, dataset.values()))


def _run(load: Callable[[str, str], tuple[float, int]], folder: str, connection: Connection) -> None:
    with tempfile.TemporaryDirectory() as cache:
        connection.send((*load(folder, cache), resident("VmHWM") / MIB))


def measure(load: Callable[[str, str], tuple[float, int]], folder: Path) -> tuple[float, int, float]:
    """Load in a new process; return the seconds, the number of images and the peak of the process in MiB."""
    context = multiprocessing.get_context("spawn")
    ours_end, theirs = context.Pipe()
    process = context.Process(target=_run, args=(load, str(folder), theirs))
    process.start()
    theirs.close()
    found: tuple[float, int, float] = ours_end.recv()
    process.join()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=5_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    loaders = {"hf_vitret": ours, "imagefolder": imagefolder}
    seconds: dict[str, list[float]] = {name: [] for name in loaders}
    peaks: dict[str, list[float]] = {name: [] for name in loaders}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        write_images(folder, options.images, options.classes)
        for _ in range(options.repeats):
            for loader, load in loaders.items():
                took, num_images, peak = measure(load, folder)
                assert num_images == options.images, (loader, num_images)
                seconds[loader].append(took)
                peaks[loader].append(peak)
    print(f"{options.images:,} images of {options.classes:,} classes; medians of {options.repeats}\n")
    print("| | seconds | peak, MiB |\n|---|---|---|")
    for loader in loaders:
        print(f"| {loader} | {statistics.median(seconds[loader]):.2f} | {statistics.median(peaks[loader]):.0f} |")
    own, peer = statistics.median(seconds["hf_vitret"]), statistics.median(seconds["imagefolder"])
    print(f"\nratio of the times {own / peer:.3f} (bar {TIME_BAR}); memory below {MEMORY_BAR} MiB")
    what = f"list {options.images:,} images of {options.classes:,} classes"
    record(
        Figure.of_repeats(
            what, seconds["hf_vitret"], "s", peer="imagefolder", peer_value=peer, ratio=own / peer, bar=TIME_BAR
        ),
        Figure.of_repeats(f"{what}: peak of the process", peaks["hf_vitret"], "MiB", bar=MEMORY_BAR),
    )


if __name__ == "__main__":
    main()
