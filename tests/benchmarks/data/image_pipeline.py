"""Images a second from encoded files to crops for training, on one core, against HF's decoding and image processor.

A noisy photograph of 1,366 x 1,024 pixels, JPEG of quality 85, a data set of copies of it as bytes in Arrow. Each way
gives a batch of eight, in turn with the others, in this process, held to one core and one thread:

* HF: `datasets.Image` decodes; the model's own image processor resizes to 256, crops the centre, rescales and
  normalises, `(3, 224, 224)` float32.
* ours: what `RetrievalTrainer` does with an image: decoded at a quarter of its size, cropped at random, flipped,
  `(3, 224, 224)` uint8, which the model normalises on its device.
* ours, prepared: the same from the folder that `prepare` writes, at a short side of 256.
* bare decode: Pillow decodes at a quarter of the size, and nothing else.

Linux only (a process is held to a core by `sched_setaffinity`).

Usage: python -m tests.benchmarks.data.image_pipeline [--repeats 30]
"""

import argparse
import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict, Features, Image, Value
from PIL import Image as Pillow
from transformers import ViTConfig

from hf_vitret import ViTRetConfig, ViTRetModel, load_retrieval_dataset
from hf_vitret.data.preparation.prepare import prepare_dataset
from hf_vitret.training.batches.training_images import Draw, TrainingImages, collate
from hf_vitret.training.batches.transforms import TrainTransform

from ..harness.figures import Figure, record

SIZE, QUALITY, NUM_IMAGES, WARM_UP = (1366, 1024), 85, 8, 3
RESIZED, CROP = 256, 224
BARS = {"ours": 2.5, "ours, prepared": 15.0}


def photograph() -> bytes:
    """Draw a picture with detail of every size and the noise of a sensor; return it as JPEG."""
    rng = np.random.default_rng(0)
    layers = [
        np.asarray(Pillow.fromarray(rng.integers(0, 256, (2**n, 2**n, 3), dtype=np.uint8)).resize(SIZE), np.float32)
        for n in range(2, 9)
    ]
    values = np.mean(layers, axis=0) + rng.normal(0, 12, (SIZE[1], SIZE[0], 3))
    stream = io.BytesIO()
    Pillow.fromarray(values.clip(0, 255).astype(np.uint8)).save(stream, "JPEG", quality=QUALITY)
    return stream.getvalue()


def retrieval_dataset(encoded: bytes, num_images: int = NUM_IMAGES) -> DatasetDict:
    """Build a data set of copies of one image."""
    features = Features(image=Image(), label=Value("int64"), image_id=Value("string"))

    def split(name: str) -> Dataset:
        rows = {
            "image": [{"bytes": encoded, "path": None}] * num_images,
            "label": [row // 4 for row in range(num_images)],
            "image_id": [f"{name}/{row}" for row in range(num_images)],
        }
        return Dataset.from_dict(rows, features=features)

    return DatasetDict(train=split("train"), test=split("test"))


def training_batch(dataset: Dataset) -> Callable[[], Any]:
    """Read a batch as the trainer does."""
    transform = TrainTransform(image_size=CROP, resize_size=RESIZED)
    images = TrainingImages(dataset, transform, np.zeros(len(dataset), dtype=np.int64))
    draws = [Draw(row, row) for row in range(NUM_IMAGES)]
    return lambda: collate(images.__getitems__(draws))["pixel_values"]


def bare_decode(encoded: bytes) -> None:
    for _ in range(NUM_IMAGES):
        with Pillow.open(io.BytesIO(encoded)) as image:
            image.draft(None, (RESIZED, RESIZED))
            image.load()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    encoded = photograph()
    dataset = retrieval_dataset(encoded)
    backbone = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16)
    model = ViTRetModel(ViTRetConfig(backbone, image_size=CROP, resize_size=RESIZED))
    processor = model.image_processor
    with tempfile.TemporaryDirectory() as folder:
        prepare_dataset(dataset, Path(folder) / "prepared", short_side=RESIZED, progress=False)
        prepared = load_retrieval_dataset("catalogue", data_dir=Path(folder) / "prepared")
        ways: dict[str, Callable[[], Any]] = {
            "HF": lambda: processor(dataset["train"][:]["image"], return_tensors="pt")["pixel_values"],
            "ours": training_batch(dataset["train"]),
            "ours, prepared": training_batch(prepared["train"]),
            "bare decode": lambda: bare_decode(encoded),
        }
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(options.repeats + WARM_UP):
            for name, way in ways.items():
                start = time.perf_counter()
                pixels = way()
                seconds[name].append((time.perf_counter() - start) / NUM_IMAGES)
                assert pixels is None or pixels.shape == (NUM_IMAGES, 3, CROP, CROP)
    print(f"JPEG, {SIZE[0]} x {SIZE[1]}, {len(encoded) / 1e3:.0f} kB, to a crop of {CROP}; one core; in turn\n")
    print("| | images a second, median | milliseconds | / HF, median | bar |\n|---|---|---|---|---|")
    for name, times in seconds.items():
        measured, reference = times[WARM_UP:], seconds["HF"][WARM_UP:]
        ratio = statistics.median(map(float.__truediv__, reference, measured))
        median = statistics.median(measured)
        print(f"| {name} | {1 / median:.0f} | {median * 1e3:.2f} | {ratio:.2f} | {BARS.get(name, '')} |")
        if name in BARS:
            beside = {"peer": "HF", "peer_value": 1 / statistics.median(reference), "ratio": ratio, "bar": BARS[name]}
            record(Figure.of_rate(f"decoding to crops, {name}", 1, measured, "images/s", **beside), seed=0)
    own, bare = (statistics.median(seconds[name][WARM_UP:]) for name in ("ours", "bare decode"))
    print(f"\nours to the bare decode: {own / bare:.2f} times its time")
    limit = {"peer": "bare decode", "peer_value": 1 / bare, "ratio": bare / own}
    record(Figure.of_rate("decoding to crops, to its limit", 1, seconds["ours"][WARM_UP:], "images/s", **limit), seed=0)


if __name__ == "__main__":
    main()
