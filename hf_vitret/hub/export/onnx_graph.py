"""Export a model as one ONNX graph from pixels to unit-norm embeddings, with normalisation and pooling inside."""

from __future__ import annotations

import copy
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ...files.atomic_writes import whole_file
from ...inference.forward import evaluating
from ...models.modeling_vitret import ViTRetModel
from ..card.formats import FORMATS
from .recorded import record_format

GRAPH_NAME = "model.onnx"
INT8_NAME = "model_int8.onnx"
# The lowest cosine between the graph's and the model's embedding of the same image at which a graph is accepted.
MIN_COSINE = 0.9999
# A protobuf message is limited to 2 GiB, of which the graph around the weights takes a part.
MAX_BYTES = 2**31 - 2**24
# Step of image sizes for backbones without a patch size, such as ConvNeXt, whose stages reduce each side by 32.
STRIDE = 32
MISSING = 'ONNX graphs need onnx, onnxscript and onnxruntime: pip install "hf_vitret[onnx]"'


def export_onnx(
    model: ViTRetModel,
    folder: str | PathLike[str],
    *,
    input_dtype: torch.dtype = torch.uint8,
    dynamic_size: bool = False,
    opset: int = 18,
    quantize_int8: bool = False,
) -> Path:
    """Write a model as one ONNX graph, together with its image processor.

    The graph takes `pixel_values` of any number of images and returns `embeddings`. Before the file gets its name, the
    graph is run by onnxruntime at several batch sizes, and at several image sizes if `dynamic_size` is set, and its
    embeddings are compared with those of the model. A graph in `<checkpoint>/onnx` is added to the checkpoint's card.

    Args:
        model: The model, which is not changed. The graph computes in float32.
        folder: The folder for `model.onnx` and `model_int8.onnx`, which is created if it does not exist. Graphs of an
            earlier call in this folder are replaced or deleted.
        input_dtype: `torch.uint8` makes a graph that takes resized and cropped pixels in 0..255 and normalises them
            itself, so that a caller cannot forget to, and that needs a quarter of the bytes as input. `torch.float32`
            makes a graph that takes normalised pixels.
        dynamic_size: Whether the graph takes images of any height and width that are multiples of the patch size, by
            interpolating the position embeddings. Otherwise it takes images of the `image_size` of the configuration
            only. Backbones whose computation depends on the image size in other ways are refused, such as Swin with
            its windows.
        opset: Version of the ONNX operator set, 18 or newer.
        quantize_int8: Whether to write a second graph whose linear layers have 8-bit weights, and activations that are
            quantised to 8 bits at run time. Its embeddings differ from the model's: measure by how much with
            `score_change`.

    Returns:
        The path of the graph in float32.

    Raises:
        ImportError: The extra `onnx` is not installed.
        ValueError: `input_dtype` is another type, the weights are too large for one file, or the exported graph fails
            or gives other embeddings than the model.

    Reference:
        Dynamic quantisation: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    try:
        import onnx  # noqa: F401 (imported here so that the error names the extra)
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(MISSING) from error
    if input_dtype not in (torch.uint8, torch.float32):
        raise ValueError(f"input_dtype must be torch.uint8 or torch.float32; got {input_dtype}")
    num_bytes = 4 * sum(parameter.numel() for parameter in model.parameters())
    if num_bytes > MAX_BYTES:
        raise ValueError(
            f"expected weights of at most {MAX_BYTES} bytes in float32, the limit of one ONNX file; got {num_bytes}. "
            "Export a smaller model"
        )
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    path, side = target / GRAPH_NAME, model.config.image_size
    exported = copy.deepcopy(model)
    exported.to("cpu", torch.float32).requires_grad_(False)  # type: ignore[arg-type]  # transformers' own wrapper
    embedder = _EmbeddingsOnly(exported).eval()
    # The example for any size is not square, so that the export does not fix what holds for the trained size only.
    example = _pixels(2, side, 2 * side if dynamic_size else side, input_dtype)
    axes: dict[int, Any] = {0: torch.export.Dim("batch")}
    if dynamic_size:
        axes |= {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    with evaluating(exported):
        program = torch.onnx.export(
            embedder,
            (example,),
            dynamo=True,
            input_names=["pixel_values"],
            output_names=["embeddings"],
            dynamic_shapes=(axes,),
            opset_version=opset,
            verbose=False,
        )
    assert program is not None
    with whole_file(path) as partial:
        program.save(partial, external_data=False)
        sizes = _sizes(model, dynamic_size=dynamic_size)
        with evaluating(exported):
            _check_graph(partial, embedder, [_pixels(count, *size, input_dtype) for size in sizes for count in (1, 3)])
        (target / INT8_NAME).unlink(missing_ok=True)  # made from the graph that is replaced
    model.image_processor.save_pretrained(target)
    if quantize_int8:
        _quantize(path, target / INT8_NAME)
    if path == target.parent / FORMATS["onnx"]:
        name = str(input_dtype).removeprefix("torch.")
        record_format(target.parent, "onnx", input_dtype=name, dynamic_size=dynamic_size)
    return path


class _EmbeddingsOnly(nn.Module):
    """A model whose output is the tensor of embeddings alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.model(pixel_values).embeddings  # (B, D)
        return embeddings


def _sizes(model: ViTRetModel, *, dynamic_size: bool) -> list[tuple[int, int]]:
    """List heights and widths to check a graph at.

    For a graph of any size they have odd and even numbers of patches, more and fewer than the trained size.
    """
    side = model.config.image_size
    if not dynamic_size:
        return [(side, side)]
    patch = getattr(model.config.backbone_config, "patch_size", None)
    step = patch if isinstance(patch, int) else STRIDE
    larger, smaller = side + step, max(side - step, step)
    return [(side, side), (2 * side, side), (larger, side + 2 * step), (smaller, larger), (side + 3 * step, smaller)]


def _pixels(count: int, height: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    """Draw random images `(count, 3, height, width)` in the input type of the graph, the same in every call."""
    generator = torch.Generator().manual_seed(count)
    if dtype == torch.uint8:
        return torch.randint(0, 256, (count, 3, height, width), dtype=dtype, generator=generator)
    return torch.randn(count, 3, height, width, generator=generator)


@torch.no_grad()
def _check_graph(path: Path, embedder: nn.Module, batches: list[torch.Tensor]) -> None:
    """Check that a graph gives the embeddings of the model on each batch."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for pixels in batches:
        shape = tuple(pixels.shape)
        try:
            (embeddings,) = session.run(None, {"pixel_values": pixels.numpy()})
        except Exception as error:  # onnxruntime raises many classes of errors without a common base
            raise ValueError(
                f"expected a graph that runs on pixels of shape {shape}; that of this backbone fails "
                f"({str(error).splitlines()[0]}). Export it with dynamic_size=False, at the size that it is used at"
            ) from error
        cosine = float(F.cosine_similarity(torch.from_numpy(embeddings), embedder(pixels)).min())
        if not cosine >= MIN_COSINE:
            raise ValueError(
                f"expected embeddings at a cosine of at least {MIN_COSINE} to the model's; the graph gives "
                f"{cosine:.6f} on pixels of shape {shape}. This backbone cannot be exported with these options: try "
                "dynamic_size=False or another opset"
            )


def _quantize(path: Path, target: Path) -> None:
    """Write a copy of a graph with 8-bit weights in its linear layers."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory(dir=path.parent) as work, whole_file(target) as partial:
        prepared = Path(work) / "prepared.onnx"
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        # Convolutions stay in float32: the patch embedding has a hundredth of the products of a ViT-S/14.
        quantize_dynamic(
            prepared, partial, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul", "Gemm"]
        )
