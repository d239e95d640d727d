"""ONNX graphs give the embeddings of the model at every size they support; faulty exports are refused."""

import sys
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import BitImageProcessor

from hf_vitret import RetrievalEvaluator, ViTRetModel, embed_images
from hf_vitret.hub.export import onnx_graph
from hf_vitret.hub.export.onnx_encoder import OnnxEncoder, score_change
from hf_vitret.hub.export.onnx_graph import export_onnx
from tests.training.runs import draw, shapes_dataset
from tests.training.tiny_backbones import SIDE, tiny


def small(kind: str, **fields: Any) -> ViTRetModel:
    """Build a model with an unusual normalisation, which its graph must contain."""
    statistics = {"image_mean": (0.3, 0.4, 0.5), "image_std": (0.2, 0.3, 0.4)}
    return tiny(kind, {"num_hidden_layers": 1}, **statistics, **fields)


def raw_pixels(count: int, height: int = SIDE, width: int = SIDE) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Export one model that takes uint8 pixels, in float32 and int8."""
    folder = tmp_path_factory.mktemp("graph")
    model = small("vit", pooling="cls", embedding_dim=5).train()
    export_onnx(model, folder, quantize_int8=True)
    assert model.training  # the model is not changed, though the graph is exported in evaluation mode
    assert all(parameter.requires_grad for parameter in model.parameters())
    return folder


@torch.no_grad()
def test_a_graph_takes_bytes_in_batches_of_any_size(folder: Path) -> None:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    (pixels,) = session.get_inputs()
    assert (pixels.name, pixels.type, pixels.shape[1:]) == (
        "pixel_values",
        "tensor(uint8)",
        [3, SIDE, SIDE],
    )
    model = small("vit", pooling="cls", embedding_dim=5)
    for count in (1, 7):
        (embeddings,) = session.run(["embeddings"], {"pixel_values": raw_pixels(count).numpy()})
        torch.testing.assert_close(torch.from_numpy(embeddings), model(raw_pixels(count)).embeddings, atol=1e-5, rtol=0)
    (version,) = {entry.version for entry in onnx.load(folder / "model.onnx").opset_import if not entry.domain}
    assert version == 18


def test_a_folder_holds_graphs_and_the_image_processor(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "model_int8.onnx", "preprocessor_config.json"}
    processor = BitImageProcessor.from_pretrained(folder)
    assert processor.to_dict() == small("vit").image_processor.to_dict()


@torch.no_grad()
def test_int8_is_near_and_not_the_same(folder: Path) -> None:
    model = small("vit", pooling="cls", embedding_dim=5)
    pixels = raw_pixels(4)
    cosines = F.cosine_similarity(OnnxEncoder(folder / "model_int8.onnx")(pixels).embeddings, model(pixels).embeddings)
    assert 0.98 < cosines.min() < 1 - 1e-6
    names = {node.op_type for node in onnx.load(folder / "model_int8.onnx").graph.node}
    assert {"MatMulInteger", "DynamicQuantizeLinear"} <= names
    assert "Conv" in names


@torch.no_grad()
def test_a_graph_of_any_size_that_takes_floats(tmp_path: Path) -> None:
    model = small("dinov2", pooling="gem", gem_learnable=True)
    (tmp_path / "model_int8.onnx").touch()  # left by an earlier export
    encoder = OnnxEncoder(export_onnx(model, tmp_path, dynamic_size=True, input_dtype=torch.float32))
    assert not (tmp_path / "model_int8.onnx").exists()
    for pixels in (raw_pixels(3), raw_pixels(1, 48, 40), torch.randn(2, 3, 16, 64)):
        torch.testing.assert_close(encoder(pixels).embeddings, model(pixels).embeddings, atol=1e-5, rtol=0)


def test_a_backbone_whose_windows_fit_some_sizes_alone_has_no_graph_of_any_size(tmp_path: Path) -> None:
    """The graph of Swin takes 32 x 32 and 64 x 32 pixels; other sizes need padding that is not in the graph."""
    model = tiny("swin", {"depths": [1], "num_heads": [1]})
    with pytest.raises(
        ValueError, match=r"expected a graph that runs on pixels of shape .* fails .*dynamic_size=False"
    ):
        export_onnx(model, tmp_path, dynamic_size=True)
    assert not list(tmp_path.iterdir())


def test_sizes_that_are_tried_are_multiples_of_a_patch() -> None:
    assert onnx_graph._sizes(tiny("vit"), dynamic_size=False) == [(32, 32)]
    for kind, step in (("vit", 8), ("swin", 2), ("dinov3_convnext", 32)):
        sizes = onnx_graph._sizes(tiny(kind), dynamic_size=True)
        assert all(side % step == 0 and side > 0 for size in sizes for side in size)
        assert any(side // step % 2 for size in sizes for side in size)
        assert any(height != width for height, width in sizes)


def test_a_graph_that_fails_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"runs on pixels of shape \(1, 3, 48, 32\); .* fails .*dynamic_size=False"):
        onnx_graph._check_graph(folder / "model.onnx", nn.Identity(), [raw_pixels(1, 48)])


def test_a_graph_of_another_model_is_noticed(folder: Path) -> None:
    """The check after the export can fail."""
    with pytest.raises(ValueError, match=r"expected embeddings at a cosine of at least 0\.9999"):
        onnx_graph._check_graph(
            folder / "model.onnx",
            onnx_graph._EmbeddingsOnly(small("vit", pooling="mean", embedding_dim=5)),
            [raw_pixels(2)],
        )


def test_invalid_requests_are_refused(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small("vit")
    with pytest.raises(ValueError, match=r"input_dtype must be torch\.uint8 or torch\.float32; got torch\.float16"):
        export_onnx(model, tmp_path, input_dtype=torch.float16)
    with pytest.raises(TypeError, match=r"expected uint8 pixels, which this graph normalises itself"):
        OnnxEncoder(folder / "model.onnx")(torch.zeros(1, 3, SIDE, SIDE))
    monkeypatch.setattr(onnx_graph, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match=r"expected weights of at most 1000 bytes"):
        export_onnx(model, tmp_path)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"hf_vitret\[onnx\]"):
        export_onnx(model, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_graph_is_embedded_with_and_evaluated_like_a_model(folder: Path) -> None:
    model = small("vit", pooling="cls", embedding_dim=5)
    images = [draw(number, 0).resize((50, 40)) for number in range(3)]
    exact, coarse = (OnnxEncoder(folder / name, num_threads=1) for name in ("model.onnx", "model_int8.onnx"))
    embeddings = embed_images(exact, images, progress=False)
    torch.testing.assert_close(embeddings, embed_images(model, images, progress=False), atol=1e-5, rtol=0)
    dataset = shapes_dataset(num_test=6)["test"]
    for evaluator in (RetrievalEvaluator(dataset), RetrievalEvaluator(dataset.select(range(8)), dataset)):
        changes = score_change(evaluator, model, coarse)
        before, after = evaluator(model), evaluator(coarse)
        assert {"recall_at_1", "map_at_r"} <= changes.keys()
        for name, change in changes.items():
            assert (change.mean_b, change.mean_a) == pytest.approx((before[name], after[name]))
            assert change.difference == pytest.approx(after[name] - before[name])
    assert any(change.difference for change in score_change(RetrievalEvaluator(dataset), tiny("vit"), exact).values())
