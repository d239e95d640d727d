"""Where the photographs, drawings and pretrained weights lie that some benchmarks need."""

from tests import DEVELOPMENT_DATA as DATA

WEIGHTS, EMOJI = DATA / "dinov2-small-saliency", DATA / "emoji.parquet"
