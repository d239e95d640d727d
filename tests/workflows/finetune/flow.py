"""The whole job on drawn images and a tiny backbone. Also a script, for several processes and for ones that die."""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import ViTConfig, ViTImageProcessor, ViTModel

from hf_vitret.training.checkpoints import resumable
from hf_vitret.workflows.finetune import finetune as job
from hf_vitret.workflows.finetune.arguments import ModelArguments
from tests.training import runs

FACTS = job.DataFacts(name="drawn shapes", license="Public domain.", command="do this")


def save_backbone(folder: Path) -> Path:
    """Write a backbone of two narrow blocks with its image processor, as they lie on the Hub."""
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        image_size=runs.SIDE,
        initializer_range=0.2,
    )
    ViTModel(config, add_pooling_layer=False).save_pretrained(folder)
    side = {"height": runs.SIDE, "width": runs.SIDE}
    ViTImageProcessor(size=side).save_pretrained(folder)
    return folder


def model_arguments(backbone: Path | str, /, **changes: Any) -> ModelArguments:
    return ModelArguments(**{"model": str(backbone), "image_size": runs.SIDE, "resize_size": runs.SIDE, **changes})


def finish(
    output_dir: Path, backbone: Path | str, dataset: Any = None, *, model: Any = None, **changes: Any
) -> job.FinishedRun:
    """Run the job; `changes` are those of the run, `model` those of the model."""
    return job.finetune(
        dataset or runs.shapes_dataset(),
        model_arguments(backbone, **(model or {})),
        runs.arguments(output_dir, **changes),
        FACTS,
    )


def run(output_dir: Path, backbone: Path | str, dataset: Any = None, **changes: Any) -> Path:
    """Run the job, and return the folder that it ends with."""
    return finish(output_dir, backbone, dataset, **changes).folder


def results_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / job.RESULTS_NAME).read_text())


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


# Moments in the middle of writing a folder.
DEADLY_MOMENTS = {"checkpoint": (resumable, "save_file"), "final": (job, "write_model_card")}


def main() -> None:
    """Run the job. Arguments: output folder, backbone, changes of the run, of the model, and when to die, if at all."""
    output_dir, backbone, changes, model, moment = sys.argv[1:]
    if moment:
        setattr(*DEADLY_MOMENTS[moment], die)
    finished = finish(Path(output_dir), backbone, model=json.loads(model), **json.loads(changes))
    folder = finished.folder
    # On every process the folder is whole, and the first alone has the results.
    if finished.results:
        print("Results in hand")
        assert finished.results["scores"] == results_of(folder)["scores"]
    results_of(folder)
    assert (folder / "README.md").exists()
    assert not torch.distributed.is_initialized()


if __name__ == "__main__":
    main()
