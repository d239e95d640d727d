"""Images a second on the CPU: a ViT-S in eager float32 torch, and its ONNX graphs in float32 and int8.

All of them embed the same uint8 images of 224 px, with as many threads, in turn: a machine whose speed drifts is the
same for each. Beside the speed, what the graphs cost: the cosine of their embeddings to torch's, and the bytes.

Usage: python -m tests.benchmarks.models.onnx_speed
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable

import torch
from torch.nn import functional as F
from transformers import Dinov2Config

from hf_vitret import ViTRetConfig, ViTRetModel
from hf_vitret.hub.export.onnx_encoder import OnnxEncoder
from hf_vitret.hub.export.onnx_graph import INT8_NAME, export_onnx

from ..harness.development_data import WEIGHTS
from ..harness.figures import Figure, record

BATCHES = (1, 32)
TORCH = "torch float32"


def vit_small() -> ViTRetModel:
    """Load the pretrained ViT-S/14, or say that there is none and build a random one."""
    if WEIGHTS.is_dir():
        return ViTRetModel.from_backbone(WEIGHTS, image_size=224)
    print(f"NO PRETRAINED WEIGHTS in {WEIGHTS}: random ones, whose int8 cosines say nothing")
    torch.manual_seed(0)
    return ViTRetModel(ViTRetConfig(Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518))).eval()


def seconds(embed: Callable[[torch.Tensor], object], pixels: torch.Tensor) -> float:
    start = time.perf_counter()
    embed(pixels)
    return time.perf_counter() - start


@torch.inference_mode()
def main() -> None:
    """Print a row for each batch size and way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="timed rounds, after two that are thrown away")
    rounds = parser.parse_args().rounds
    model, threads = vit_small(), torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        with torch.inference_mode(False):
            path = export_onnx(model, folder, quantize_int8=True)
        files = {"onnx float32": path, "onnx int8": path.with_name(INT8_NAME)}
        megabytes = {name: file.stat().st_size / 1e6 for name, file in files.items()}
        graphs = {name: OnnxEncoder(file, num_threads=threads) for name, file in files.items()}
        ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
            TORCH: lambda pixels: model(pixels).embeddings,
            **{name: lambda pixels, graph=graph: graph(pixels).embeddings for name, graph in graphs.items()},
        }
        print(f"{threads} threads, 224 px, medians of {rounds} rounds in turn")
        print(f"{'batch':>5}  {'way':<14}{'images/s':>9}{'to torch':>9}{'least cosine':>13}{'MB':>7}")
        for batch in BATCHES:
            pixels = torch.randint(0, 256, (batch, 3, 224, 224), dtype=torch.uint8)
            repeats = max(1, 8 // batch)
            timed = [
                {name: sum(seconds(way, pixels) for _ in range(repeats)) / repeats for name, way in ways.items()}
                for _ in range(rounds + 2)
            ][2:]
            expected = ways[TORCH](pixels)
            base = statistics.median(times[TORCH] for times in timed)
            for name, way in ways.items():
                median = statistics.median(times[name] for times in timed)
                cosine = float(F.cosine_similarity(way(pixels), expected).min())
                size = f"{megabytes[name]:.1f}" if name in megabytes else ""
                print(f"{batch:>5}  {name:<14}{batch / median:>9.1f}{base / median:>9.2f}{cosine:>13.6f}{size:>7}")
                if name == TORCH:
                    continue
                case, of_rounds = f"{name}, batch {batch}", [times[name] for times in timed]
                beside = {"peer": TORCH, "peer_value": batch / base, "ratio": base / median}
                record(
                    Figure.of_rate(case, batch, of_rounds, "images/s", **beside),
                    Figure(f"{case}: least cosine", cosine, peer=TORCH, larger_is_better=True),
                )
        record(*(Figure(f"{name}: size", size, "MB") for name, size in megabytes.items()))


if __name__ == "__main__":
    main()
