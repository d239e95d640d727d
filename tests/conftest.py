"""What every test shares: no network, no cache of the user's, one thread, and one very small model."""

import atexit
import importlib
import os
import shutil
import sys
import tempfile
import zlib

# Before anything imports huggingface_hub or torch: both read these once.
_CACHE = tempfile.mkdtemp(prefix="hf_vitret-tests-")
atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)
os.environ.update(
    HF_HOME=_CACHE,
    HF_HUB_CACHE=os.path.join(_CACHE, "hub"),  # noqa: PTH118 (an environment variable is text)
    HF_DATASETS_CACHE=os.path.join(_CACHE, "datasets"),  # noqa: PTH118
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    OMP_NUM_THREADS="1",
    # On some CPUs MKL's last digit depends on where a number lies in memory; not with this.
    MKL_CBWR="AUTO",
)

import pytest  # noqa: E402

# What most of the tests import, in the workers of a run: coverage follows every line of what it does not measure too,
# and importing takes it twice the time. The process that hands out the tests needs none of it.
_LIBRARIES = (
    "datasets",
    "hypothesis.strategies",
    "peft",
    "pytorch_metric_learning.losses",
    "transformers.modeling_utils",
    "transformers.models.auto.modeling_auto",
    "transformers.trainer",
)
if "PYTEST_XDIST_WORKER" in os.environ:
    trace = sys.gettrace()
    sys.settrace(None)
    for name in _LIBRARIES:
        importlib.import_module(name)
    sys.settrace(trace)


def pytest_runtest_setup(item):
    """Seed what fixtures of a wider scope draw."""
    _seed(item.nodeid)


@pytest.fixture(autouse=True)
def _seeded(request):
    """Seed what a test and its own fixtures draw: the same in every run and in any order."""
    _seed(request.node.nodeid)


def _seed(name):
    import random

    import numpy as np
    import torch

    seed = zlib.crc32(name.encode())
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (libraries under test draw from it)
    torch.manual_seed(seed)


@pytest.fixture
def tiny_model():
    """Give a seeded `ViTRetModel` in evaluation mode: two layers, 32 wide, 32 pixels."""
    import torch

    from hf_vitret import ViTRetConfig, ViTRetModel

    backbone = {
        "model_type": "vit",
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "image_size": 32,
        "patch_size": 8,
        "initializer_range": 0.2,  # at the usual 0.02 a random model maps all images to nearly one vector
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ViTRetModel(ViTRetConfig(backbone, image_size=32)).eval()
