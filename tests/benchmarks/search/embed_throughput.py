"""Images a second of `hf-vitret embed`'s loop, from JPEG files of 224 px to a folder of vectors, against three others.

- bare: the backbone's forward on a batch that is decoded and normalised already, in the same type: the upper limit.
- pipeline: `transformers.pipeline("image-feature-extraction")` over the same files, in batches.
- sentence-transformers: `SentenceTransformer.encode` of the same files with the same weights.

All in one process, in turn, round by round: a machine whose speed drifts is the same for each. Last, that the loop's
vectors are those of the bare backbone (least cosine).

Usage: python -m tests.benchmarks.search.embed_throughput [--images 256] [--rounds 3] [--batch_size 32] [--dtype auto]
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from sentence_transformers import SentenceTransformer
from transformers import pipeline

from hf_vitret import load_model
from hf_vitret.embedding.image_encoder import resolve_dtype
from hf_vitret.embedding.shards import EmbeddingFolder
from hf_vitret.embedding.write_embeddings import write_embeddings
from hf_vitret.hub.export.sentence_transformers_files import write_sentence_transformers

from ..harness.development_data import WEIGHTS
from ..harness.figures import Figure, record

TARGET = 0.95
BARE, OURS = "bare forward", "hf-vitret embed"


def write_jpegs(folder: Path, count: int) -> list[Path]:
    """Write photographs as far as a decoder is concerned: smooth shapes with grain, 224 px, quality 90."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        shapes = Image.fromarray(rng.integers(0, 256, (14, 14, 3), dtype=np.uint8)).resize((224, 224))
        grain = rng.normal(0, 6, (224, 224, 3))
        Image.fromarray((np.asarray(shapes) + grain).clip(0, 255).astype(np.uint8)).save(
            folder / f"{number:05d}.jpg", quality=90
        )
    return sorted(folder.iterdir())


def run_ways(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each way, `rounds` times in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - began)
    return seconds


def main() -> None:
    """Print a row for each way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch_size", type=int, default=32)
    parser.add_argument("--dtype", default="auto")
    options = parser.parse_args()
    if not WEIGHTS.is_dir():
        print(f"NOT RUN: there are no pretrained weights in {WEIGHTS}")
        return
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        paths = write_jpegs(folder / "photos", options.images)
        load_model(WEIGHTS, image_size=224).save_pretrained(folder / "model")
        write_sentence_transformers(folder / "model")
        model = load_model(folder / "model")
        device, backbone, size = model.device, model.backbone, options.batch_size
        dtype = resolve_dtype(options.dtype, device)
        extract = pipeline("image-feature-extraction", backbone, image_processor=model.image_processor, device=device)
        encoder = SentenceTransformer(str(folder / "model"), device=str(device))
        batches = [
            model.image_processor([Image.open(path) for path in paths[first : first + size]], return_tensors="pt")
            for first in range(0, len(paths), size)
        ]
        names, written = [str(path) for path in paths], iter(range(10**9))

        def bare() -> list[torch.Tensor]:
            with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                outputs = [backbone(batch["pixel_values"].to(device)).last_hidden_state[:, 0] for batch in batches]
            return [output.float().cpu() for output in outputs]

        def loop() -> Path:
            output_dir = folder / f"E{next(written)}"
            write_embeddings(model, folder / "photos", output_dir, batch_size=size, dtype=options.dtype, progress=False)
            return output_dir

        def transformers_pipeline() -> object:
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                return [features[:, 0] for features in extract(names, batch_size=size, return_tensors=True)]

        def sentence_transformers() -> object:
            images = [Image.open(path) for path in paths]
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                return encoder.encode(images, batch_size=size, show_progress_bar=False)

        ways = {
            BARE: bare,
            OURS: loop,
            "pipeline": transformers_pipeline,
            "sentence-transformers": sentence_transformers,
        }
        run_ways(ways, 1)
        seconds = run_ways(ways, options.rounds)
        shares = [b / ours for b, ours in zip(seconds[BARE], seconds[OURS])]
        print(f"{device}, {torch.get_num_threads()} threads, {dtype}, {len(paths)} JPEGs of 224 px, batch {size}")
        print(f"{'way':<24}{'images/s':>9}{'of bare':>9}")
        base = statistics.median(seconds[BARE])
        for name, times in seconds.items():
            median = statistics.median(times)
            print(f"{name:<24}{len(paths) / median:>9.1f}{base / median:>9.2f}")
        vectors = np.concatenate([shard.embeddings for shard in EmbeddingFolder(loop()).shards()])
        expected = torch.nn.functional.normalize(torch.cat(bare()), dim=1).numpy()
        cosine = float((vectors * expected).sum(axis=1).min())
        print(f"least cosine to the bare backbone's vectors: {cosine:.6f}")
        share = statistics.median(shares)
        print(f"of the bare forward, median of rounds: {share:.3f} (target {TARGET})")
        medians = {name: statistics.median(times) for name, times in seconds.items()}
        for name, theirs in medians.items():
            if name != OURS:
                beside = {"peer": name, "peer_value": len(paths) / theirs}
                beside |= {"ratio": share, "bar": TARGET} if name == BARE else {"ratio": theirs / medians[OURS]}
                record(Figure.of_rate("embedding JPEGs", len(paths), seconds[OURS], "images/s", **beside), seed=0)
        record(Figure("least cosine to the bare backbone's vectors", cosine, larger_is_better=True), seed=0)
        if share < TARGET:
            sys.exit(1)


if __name__ == "__main__":
    main()
