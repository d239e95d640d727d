"""An ONNX graph in the place of a model: embedded with, evaluated, and compared with what it was made from."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import torch
from torch import nn
from transformers import BitImageProcessor

from ...evaluation.evaluator import RetrievalEvaluator
from ...evaluation.reporting.bootstrap import Comparison, compare
from ...models.modeling_vitret import ViTRetOutput
from .onnx_graph import MISSING


class OnnxEncoder(nn.Module):
    """Run a graph that `export_onnx` wrote, wherever a model is only embedded with: `embed_images(encoder, images)`.

    Args:
        path: The graph; its image processor lies beside it.
        num_threads: Threads of one operator; None leaves it to onnxruntime, which takes the cores.
        providers: What onnxruntime computes on, in order of preference.

    Attributes:
        image_processor: As of the model that was exported.

    Raises:
        ImportError: The extra `onnx` is not installed.
        OSError: There is no image processor beside the graph.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        num_threads: int | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        super().__init__()
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(MISSING) from error
        options = onnxruntime.SessionOptions()
        if num_threads is not None:
            options.intra_op_num_threads = num_threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=list(providers))
        self.image_processor = BitImageProcessor.from_pretrained(Path(path).parent)
        # Who embeds asks a model for its device by way of its parameters.
        self.device_marker = nn.Parameter(torch.empty(0), requires_grad=False)

    def forward(self, pixel_values: torch.Tensor) -> ViTRetOutput:
        """Embed a batch.

        Args:
            pixel_values: `(batch, 3, height, width)`. uint8, 0..255: normalised here where the graph does not do it.
                Float: normalised already.

        Returns:
            `embeddings` `(batch, dim)` float32, unit L2 norm.

        Raises:
            TypeError: Float pixels are given to a graph that takes bytes.
        """
        takes_bytes = self.session.get_inputs()[0].type == "tensor(uint8)"
        if pixel_values.dtype != torch.uint8 and takes_bytes:
            raise TypeError(f"expected uint8 pixels, which this graph normalises itself; got {pixel_values.dtype}")
        if pixel_values.dtype == torch.uint8 and not takes_bytes:
            processor = self.image_processor
            mean, std = (torch.tensor(values).view(3, 1, 1) for values in (processor.image_mean, processor.image_std))
            pixel_values = (pixel_values / 255 - mean) / std
        (embeddings,) = self.session.run(["embeddings"], {"pixel_values": pixel_values.cpu().numpy()})
        return ViTRetOutput(embeddings=torch.from_numpy(embeddings))


def score_change(evaluator: RetrievalEvaluator, model: nn.Module, encoder: OnnxEncoder) -> dict[str, Comparison]:
    """Measure what a graph costs: how its scores differ from those of a model, query by query.

        change = score_change(evaluator, model, OnnxEncoder("onnx/model_int8.onnx"))["recall_at_1"]
        change.mean_b, change.mean_a, change.difference     # R@1 of the model and of the graph; what it gained or lost

    Args:
        evaluator: The data set and the metrics.
        model: What the graph is compared with: the model that it was made from, or another graph.
        encoder: The graph.

    Returns:
        By the names of the evaluator's metrics: graph less model, with the interval of the difference.
    """
    values = []
    for each in (encoder, model):
        gallery = None if evaluator.gallery is None else evaluator.embed(each, evaluator.gallery)
        values.append(evaluator.query_metrics(evaluator.embed(each, evaluator.query), gallery))
    ours, theirs = values
    return {name: compare(ours[name], theirs[name]) for name in ours}
