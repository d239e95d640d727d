"""Where the photographs, drawings and pretrained weights lie that some benchmarks need."""

from pathlib import Path

DATA = Path(__file__).parents[3] / "shared" / "data"
WEIGHTS, EMOJI = DATA / "dinov2-small-saliency", DATA / "emoji.parquet"
