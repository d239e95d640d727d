"""The tests of hf_vitret, folder by folder as the package; `benchmarks` measures, and is not collected by pytest."""

from pathlib import Path

ROOT = Path(__file__).parents[1]  # of the checkout
DEVELOPMENT_DATA = ROOT.parent / "shared" / "data"  # images and weights that the product neither holds nor needs
