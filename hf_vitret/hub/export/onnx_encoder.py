"""Run an exported ONNX graph in place of a model, and compare the retrieval scores of the two."""

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
    """An ONNX graph of `export_onnx`, as a module that embeds images like the model: `embed_images(encoder, images)`.

    Args:
        path: The file of the graph. The image processor is read from the same folder.
        num_threads: Number of threads of one operator. Default: that of onnxruntime, one for each core.
        providers: The execution providers of onnxruntime to compute on, in order of preference.

    Attributes:
        session: The session of onnxruntime.
        image_processor: The image processor of the exported model.

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
        # `embed_images` finds the device of a model by its parameters.
        self.device_marker = nn.Parameter(torch.empty(0), requires_grad=False)

    def forward(self, pixel_values: torch.Tensor) -> ViTRetOutput:
        """Embed a batch.

        Args:
            pixel_values: `(batch, 3, height, width)`. Pixels in uint8, 0..255, are normalised by the graph or, if the
                graph takes floats, by this module. Pixels in float32 must be normalised already.

        Returns:
            `embeddings` `(batch, dim)` float32, of unit L2 norm.

        Raises:
            TypeError: Float pixels are passed to a graph that takes uint8.
        """
        takes_bytes = self.session.get_inputs()[0].type == "tensor(uint8)"
        if pixel_values.dtype != torch.uint8 and takes_bytes:
            raise TypeError(
                f"expected uint8 pixels, which this graph normalises itself; got {pixel_values.dtype}. Pass pixels in "
                "0..255 that are not normalised"
            )
        if pixel_values.dtype == torch.uint8 and not takes_bytes:
            processor = self.image_processor
            mean, std = (torch.tensor(values).view(3, 1, 1) for values in (processor.image_mean, processor.image_std))
            pixel_values = (pixel_values / 255 - mean) / std
        (embeddings,) = self.session.run(["embeddings"], {"pixel_values": pixel_values.cpu().numpy()})
        return ViTRetOutput(embeddings=torch.from_numpy(embeddings))


def score_change(evaluator: RetrievalEvaluator, model: nn.Module, encoder: OnnxEncoder) -> dict[str, Comparison]:
    """Compare the retrieval scores of an ONNX graph with those of a model, query by query.

        change = score_change(evaluator, model, OnnxEncoder("onnx/model_int8.onnx"))["recall_at_1"]
        change.mean_b, change.mean_a, change.difference     # R@1 of the model and of the graph, and their difference

    Args:
        evaluator: The evaluator, with its data set and metrics.
        model: The model to compare the graph with, such as the one that was exported, or another `OnnxEncoder`.
        encoder: The graph.

    Returns:
        Name of a metric of the evaluator -> the comparison: graph minus model, with a confidence interval.
    """
    values = []
    for each in (encoder, model):
        gallery = None if evaluator.gallery is None else evaluator.embed(each, evaluator.gallery)
        values.append(evaluator.query_metrics(evaluator.embed(each, evaluator.query), gallery))
    of_graph, of_model = values
    return {name: compare(of_graph[name], of_model[name]) for name in of_graph}
