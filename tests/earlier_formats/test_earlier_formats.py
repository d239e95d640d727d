"""Files of an earlier commit give the same numbers to the last bit."""

import json

import numpy as np
import pytest

from hf_vitret import embed_images, load_model
from tests.earlier_formats.observed import FOLDER, observe, photos
from tests.warm_process import run_warm

EXPECTED = json.loads((FOLDER / "expected.json").read_text())
# The checkpoint's own code, which the earlier commit copied into it, where this package cannot be imported.
OWN_CODE = """
import sys
sys.modules["hf_vitret"] = None
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from transformers import AutoModel, BitImageProcessor
folder, target = sys.argv[1:]
model = AutoModel.from_pretrained(folder + "/checkpoint", trust_remote_code=True).eval()
images = [Image.open(path).convert("RGB") for path in sorted(Path(folder, "photos").rglob("*.png"))]
processor = BitImageProcessor.from_pretrained(folder + "/checkpoint", do_normalize=False, do_rescale=False)
pixels = processor(images, return_tensors="pt")["pixel_values"]
np.save(target, model(pixels.to(torch.uint8)).embeddings.detach().numpy())
"""


@pytest.fixture(scope="module")
def observed():
    return observe()


@pytest.mark.parametrize("what", [name for name in EXPECTED if name != "commit"])
def test_same_numbers(observed, what):
    assert observed[what] == EXPECTED[what]


def test_embeddings_are_those_of_the_code_in_the_checkpoint(tmp_path):
    process = run_warm(OWN_CODE, FOLDER, tmp_path / "own.npy")
    assert process.returncode == 0, process.stderr
    ours = embed_images(load_model(FOLDER / "checkpoint"), photos()).numpy()
    np.testing.assert_array_equal(ours, np.load(tmp_path / "own.npy"))


def test_embeddings_are_those_that_were_kept(observed):
    """They were computed in bfloat16, whose relative precision is 2**-8, and differ in the last bits by processor."""
    dtype, _, content = EXPECTED["embeddings"]["embeddings-parquet"]["vectors"][0].partition(" [")
    kept = np.frombuffer(bytes.fromhex(content.split()[-1]), dtype).reshape(8, -1)
    np.testing.assert_allclose(embed_images(load_model(FOLDER / "checkpoint"), photos())[:8], kept, atol=1e-2)
