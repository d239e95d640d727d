"""A run that records its gradient, loss and memory at every step, for the tests with several processes."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from transformers import TrainerCallback

from hf_vitret import RetrievalTrainer
from tests import ROOT
from tests.training import runs

GLOBAL_BATCH = 8


class Observer(TrainerCallback):
    """Record gradient and memory at each step."""

    def __init__(self) -> None:
        self.trainer: RetrievalTrainer
        self.gradients: list[list[float]] = []
        self.memories: list[str] = []

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:
        weights = [*self.trainer.model.parameters(), *self.trainer.loss.parameters()]
        full = [weight.grad.full_tensor() if hasattr(weight.grad, "full_tensor") else weight.grad for weight in weights]
        self.gradients.append(torch.cat([gradient.flatten() for gradient in full]).tolist())

    def on_step_end(self, *_: Any, **__: Any) -> None:
        memory = getattr(self.trainer.loss, "memory", None)
        if memory is not None:
            parts = [tensor.numpy().tobytes() for tensor in memory.state_dict().values()]
            self.memories.append(hashlib.sha256(b"".join(parts)).hexdigest())


def use_fsdp_recipe() -> None:
    """Set the environment of `accelerate launch --config_file recipes/accelerate/fsdp.yaml`, and allow it on a CPU.

    accelerate shards only on accelerators, though the sharding of torch works on a CPU too.
    """
    recipe = yaml.safe_load((ROOT / "recipes" / "accelerate" / "fsdp.yaml").read_text())
    os.environ["ACCELERATE_USE_FSDP"] = "true"
    os.environ |= {name.upper(): str(value).lower() for name, value in recipe["fsdp_config"].items()}
    os.environ["FSDP_AUTO_WRAP_POLICY"] = recipe["fsdp_config"]["fsdp_auto_wrap_policy"]
    os.environ["FSDP_STATE_DICT_TYPE"] = recipe["fsdp_config"]["fsdp_state_dict_type"]
    initialize = AcceleratorState.__init__

    def shard_on_cpu(self: AcceleratorState, *args: Any, **kwargs: Any) -> None:
        initialize(self, *args, **kwargs)
        if kwargs.get("fsdp_plugin") is not None:
            self.distributed_type = DistributedType.FSDP
            self.fsdp_plugin = kwargs["fsdp_plugin"]
            PartialState._shared_state["distributed_type"] = DistributedType.FSDP

    AcceleratorState.__init__ = shard_on_cpu


def run(folder: str, changes: dict[str, Any], fsdp: bool = False, loss: str = "", resume: bool = False) -> None:
    """Train and write `<folder>/seen-<rank>.json`; `loss` names a class of pytorch-metric-learning, if any."""
    if fsdp:
        use_fsdp_recipe()
    observer = Observer()
    world = int(os.environ.get("WORLD_SIZE", "1"))
    # SGD, because Adam would scale the rounding of a gradient that is zero in theory up to a full step; and a rate at
    # which the weights of one process and of several, which are rounded differently, stay close.
    settings = {"per_device_train_batch_size": GLOBAL_BATCH // world, "optim": "sgd", "learning_rate": 1e-4}
    settings |= {"memory_size": 20, "augmentation": "random_resized_crop", "flip": 0.5, "load_best_model_at_end": False}
    dataset = runs.shapes_dataset()
    external = None
    if loss:
        from pytorch_metric_learning import losses

        torch.manual_seed(0)
        arguments = {"num_classes": 6, "embedding_size": 16} if loss == "ProxyAnchorLoss" else {}
        external = getattr(losses, loss)(**arguments)
    model = runs.tiny_vit()
    torch.manual_seed(
        int(os.environ.get("RANK", "0"))
    )  # different on each process: the weights of the loss must be those of the first
    trainer = observer.trainer = RetrievalTrainer(
        model,
        runs.arguments(Path(folder), **{**settings, **changes}),
        train_dataset=dataset["train"],
        eval_dataset=dataset["test"].select(range(19)),  # not divisible by any number of processes
        loss=external,
        callbacks=[observer],
    )
    trainer.train(resume_from_checkpoint=resume)
    shards = sum(type(module).__name__.startswith("FSDP") for module in trainer.model.modules())
    seen = {
        "log": trainer.state.log_history,
        "gradients": observer.gradients,
        "memories": observer.memories,
        "shards": shards,
        "loss_weights": [weight.tolist() for weight in trainer.loss.parameters()],
    }
    (Path(folder) / f"seen-{trainer.args.process_index}.json").write_text(json.dumps(seen))
