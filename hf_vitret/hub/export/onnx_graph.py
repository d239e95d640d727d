"""A model as one ONNX graph: from pixels to the unit-norm embedding, normalisation and pooling inside."""

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
# A graph is kept only where each embedding is at least this near to the model's own, as a cosine.
MIN_COSINE = 0.9999
# A protobuf message ends at 2 GiB; the graph around the weights takes a share of it.
MAX_BYTES = 2**31 - 2**24
# Where the configuration names no patch: what a ConvNeXt's stages make one number of.
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
    """Write a model as one ONNX graph, beside the image processor that belongs to it.

    The graph takes `pixel_values` of any number of images and gives `embeddings`. It is run by onnxruntime, at several
    batch sizes, and image sizes where it promises them, before it gets its name. In `<checkpoint>/onnx` it is told on
    the checkpoint's card.

    Args:
        model: The model; it is left as it is. The graph computes in float32.
        folder: Where to write `model.onnx`, and `model_int8.onnx`; made where it does not exist. Graphs that an earlier
            call wrote there are replaced, or removed.
        input_dtype: `torch.uint8` takes resized and cropped pixels, 0..255: the graph rescales and normalises them,
            which nobody can forget, and a quarter of the bytes travels. `torch.float32` takes them normalised.
        dynamic_size: Whether the graph takes images of any height and width, in multiples of a patch, position
            embeddings interpolated; else they have the `image_size` of the configuration. Backbones whose computation
            depends on the size otherwise, as that of Swin does by its windows, are refused.
        opset: Version of the ONNX operators, 18 or newer.
        quantize_int8: Whether to write a second graph, whose linear layers have 8-bit weights, and activations scaled
            to 8 bits as they come. Its embeddings differ: see `score_change`.

    Returns:
        The graph in float32.

    Raises:
        ImportError: The extra `onnx` is not installed.
        ValueError: The type of input is another one, the weights are too large for one file, or the backbone cannot be
            exported so: the graph fails or gives other embeddings.

    Reference:
        Dynamic quantisation: https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    try:
        import onnx  # noqa: F401 (asked for here, so that the error names the extra)
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(MISSING) from error
    if input_dtype not in (torch.uint8, torch.float32):
        raise ValueError(f"input_dtype must be torch.uint8 or torch.float32; got {input_dtype}")
    num_bytes = 4 * sum(parameter.numel() for parameter in model.parameters())
    if num_bytes > MAX_BYTES:
        raise ValueError(f"expected weights of at most {MAX_BYTES} bytes in float32 for one file; got {num_bytes}")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    path, side = target / GRAPH_NAME, model.config.image_size
    exported = copy.deepcopy(model)
    exported.to("cpu", torch.float32).requires_grad_(False)  # type: ignore[arg-type]  # transformers' own wrapper
    embeds = _Embeds(exported).eval()
    # Not square, so that nothing is taken for granted that holds for the trained size alone.
    example = _pixels(2, side, 2 * side if dynamic_size else side, input_dtype)
    axes: dict[int, Any] = {0: torch.export.Dim("batch")}
    if dynamic_size:
        axes |= {2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    with evaluating(exported):
        program = torch.onnx.export(
            embeds,
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
            _check_graph(partial, embeds, [_pixels(count, *size, input_dtype) for size in sizes for count in (1, 3)])
        (target / INT8_NAME).unlink(missing_ok=True)  # it is of the graph that goes
    model.image_processor.save_pretrained(target)
    if quantize_int8:
        _quantize(path, target / INT8_NAME)
    if path == target.parent / FORMATS["onnx"]:
        name = str(input_dtype).removeprefix("torch.")
        record_format(target.parent, "onnx", input_dtype=name, dynamic_size=dynamic_size)
    return path


class _Embeds(nn.Module):
    """Give the embeddings alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        embeddings: torch.Tensor = self.model(pixel_values).embeddings  # (B, D)
        return embeddings


def _sizes(model: ViTRetModel, *, dynamic_size: bool) -> list[tuple[int, int]]:
    """List heights and widths that a graph promises to take: where any, also odd numbers of patches, more and fewer."""
    side = model.config.image_size
    if not dynamic_size:
        return [(side, side)]
    patch = getattr(model.config.backbone_config, "patch_size", None)
    step = patch if isinstance(patch, int) else STRIDE
    larger, smaller = side + step, max(side - step, step)
    return [(side, side), (2 * side, side), (larger, side + 2 * step), (smaller, larger), (side + 3 * step, smaller)]


def _pixels(count: int, height: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    """Draw images, `(count, 3, height, width)`, as the graph takes them; the same in every call."""
    generator = torch.Generator().manual_seed(count)
    if dtype == torch.uint8:
        return torch.randint(0, 256, (count, 3, height, width), dtype=dtype, generator=generator)
    return torch.randn(count, 3, height, width, generator=generator)


@torch.no_grad()
def _check_graph(path: Path, embeds: nn.Module, batches: list[torch.Tensor]) -> None:
    """Require of a graph what the model gives."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for pixels in batches:
        shape = tuple(pixels.shape)
        try:
            (given,) = session.run(None, {"pixel_values": pixels.numpy()})
        except Exception as error:  # onnxruntime has a class of its own for each of its faults
            raise ValueError(
                f"the graph of this backbone fails on pixels of shape {shape} ({str(error).splitlines()[0]}): export "
                "it with dynamic_size=False, at the size that it is used at"
            ) from error
        cosine = float(F.cosine_similarity(torch.from_numpy(given), embeds(pixels)).min())
        if not cosine >= MIN_COSINE:
            raise ValueError(
                f"expected embeddings at a cosine of at least {MIN_COSINE} to the model's; the graph gives "
                f"{cosine:.6f} on pixels of shape {shape}: this backbone cannot be exported so"
            )


def _quantize(path: Path, target: Path) -> None:
    """Write a graph again with 8-bit weights in its linear layers."""
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory(dir=path.parent) as work, whole_file(target) as partial:
        prepared = Path(work) / "prepared.onnx"
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        # Convolutions are left alone: the patch embedding is a hundredth of a ViT-S/14's products.
        quantize_dynamic(
            prepared, partial, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul", "Gemm"]
        )
