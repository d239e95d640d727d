"""`RetrievalTrainingArguments`: the settings of a retrieval training run, with those of the paper as defaults."""

import os
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import SchedulerType

from ..data.image_checks import ON_BAD_IMAGE
from ..evaluation.evaluator import DEFAULT_KS
from ..losses import PAIR_LOSSES
from .batches.transforms import AUGMENTATIONS

# The proxies of a loss are not pretrained as the model is: they get 100 times its learning rate, as in the code of
# Proxy-Anchor (Kim et al. 2020, arXiv 2003.13911).
PROXY_LEARNING_RATE_FACTOR = 100

AUTO_WORKERS = -1
MAX_AUTO_WORKERS = 8


def cores_per_process() -> int:
    """Return the number of CPU cores for each process that the launcher started on this machine, at least 1."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@dataclass
class RetrievalTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with the settings of the paper as defaults, and the settings of retrieval.

    The defaults are those for Stanford Online Products (arXiv 2102.05644, section 4.1): AdamW at a constant learning
    rate of 3e-5, weight decay 5e-4, batch 64, 35,000 steps, margin 0.5, KoLeo weight 0.7, and a memory as large as the
    training set. The paper does not mention gradient clipping and warm-up, and they are off (`max_grad_norm=0`).

    `per_device_train_batch_size` is the part of the batch on one process: W processes make a batch of W times as many
    images, all compared with each other. For a batch larger than the memory of the device allows, set
    `micro_batch_size`: the gradient is exactly that of the large batch (gradient caching), for the cost of a second
    forward pass. `gradient_accumulation_steps` is different, as in Trainer: it averages the gradients of several
    batches whose images are not compared with each other, at no extra cost. Memory and KoLeo work with both.

    Raises:
        ValueError: A field is outside its domain; the message names the field.
    """

    UNUSED: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that have no effect in a run of this class, and are left out of its results."""

    output_dir: str | None = field(
        default=None, metadata={"help": "Folder for the checkpoints, the final model and the results."}
    )

    loss: str = field(
        default="contrastive",
        metadata={
            "help": f"Loss that compares the images: {', '.join(PAIR_LOSSES)}; or a torch.nn.Module class of your own "
            "as module:Class, such as my_package.my_losses:MyLoss. The class replaces the contrastive loss; its "
            "constructor gets margin, temperature (if set), num_classes and embedding_dim where it has parameters "
            "of these names. The other defaults are the paper's for contrastive."
        },
    )
    temperature: float | None = field(
        default=None,
        metadata={
            "help": "Temperature of a loss that has one (supcon, normalized_softmax); default: the loss's own default."
        },
    )
    margin: float = field(
        default=0.5,
        metadata={
            "help": "Cosine similarity above which a negative pair adds to the contrastive loss, -1 to 1 (beta in the "
            "paper)."
        },
    )
    koleo_weight: float = field(
        default=0.7,
        metadata={
            "help": "Weight of the KoLeo term, which spreads the embeddings (lambda in the paper); 0 trains without "
            "it. Measured (README): it lowers R@1 on new classes while that still rises, and raises it once a run "
            "overfits, which happens sooner with fewer classes. Set 0 for short runs on many classes."
        },
    )
    koleo_neighbors: str = field(
        default="all",
        metadata={
            "help": "Images from which KoLeo pushes an image away: 'all' (the paper) or 'negatives', those of other "
            "classes. Measured (README): 'negatives' scored best in short runs, and had no advantage in long ones."
        },
    )
    memory_size: float | None = field(
        default=None,
        metadata={
            "help": "Number of embeddings in the cross-batch memory, or a share of the training set if at most 1; 0: "
            "no memory. Default: the size of the training set for losses that compare pairs (contrastive, supcon), "
            "and no memory for the others."
        },
    )
    memory_weight: float = field(default=1.0, metadata={"help": "Weight of the loss against the memory."})
    memory_start_step: int = field(
        default=0, metadata={"help": "Number of optimiser steps before the memory is filled and compared with."}
    )
    memory_momentum: float = field(
        default=0.0,
        metadata={
            "help": "Momentum of a moving average of the model that computes the embeddings in the memory, below 1 "
            "(the paper: 0.999, for In-Shop); 0: the trained model computes them."
        },
    )
    images_per_class: int = field(default=4, metadata={"help": "Number of images of each class in a batch (K)."})
    augmentation: str = field(
        default="random_crop", metadata={"help": f"Augmentation of the training images: {' or '.join(AUGMENTATIONS)}."}
    )
    flip: float = field(
        default=0.5, metadata={"help": "Probability that a training image is flipped horizontally, 0 to 1."}
    )

    per_device_train_batch_size: int = field(
        default=64,
        metadata={"help": "Number of training images in a batch on each device: classes times images_per_class."},
    )
    micro_batch_size: int | None = field(
        default=None,
        metadata={
            "help": "Number of training images that the model processes at once (gradient caching), for batches that "
            "do not fit into memory; default: the whole batch of a device."
        },
    )
    per_device_eval_batch_size: int = field(
        default=64, metadata={"help": "Number of images embedded at once in an evaluation, on each device."}
    )
    learning_rate: float = field(default=3e-5, metadata={"help": "Learning rate of AdamW."})
    weight_decay: float = field(default=5e-4, metadata={"help": "Weight decay of AdamW."})
    layer_decay: float = field(
        default=1.0,
        metadata={
            "help": "Factor of the learning rate from each block to the block before it, above 0; 1: the same rate for "
            "all blocks."
        },
    )
    loss_learning_rate: float | None = field(
        default=None,
        metadata={
            "help": "Learning rate of the weights of the loss, such as proxies; default: "
            f"{PROXY_LEARNING_RATE_FACTOR} times learning_rate."
        },
    )
    lr_scheduler_type: str = field(
        default="constant",
        metadata={
            "help": "Schedule of the learning rate: constant, linear, cosine or another one of transformers. "
            "--warmup_steps works with constant too."
        },
    )
    max_steps: int = field(
        default=35_000,
        metadata={"help": "Number of optimiser steps; above 0 it takes precedence over num_train_epochs."},
    )
    max_grad_norm: float = field(
        default=0.0, metadata={"help": "Norm to which the gradient is clipped; 0: no clipping, as in the paper."}
    )
    logging_steps: float = field(default=50, metadata={"help": "Number of steps between two lines of the log."})
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Whether to leave NaN and infinite losses out of the log."}
    )
    eval_strategy: str = field(default="steps", metadata={"help": "When to evaluate: no, steps or epoch."})
    eval_steps: float | None = field(default=1000, metadata={"help": "Number of steps between two evaluations."})
    eval_ks: list[int] = field(
        default_factory=lambda: list(DEFAULT_KS),
        metadata={"help": "Values of K for the R@K of an evaluation; 1 must be among them."},
    )
    save_strategy: str = field(
        default="steps", metadata={"help": "When to save a checkpoint: no, steps, epoch or best."}
    )
    save_steps: float = field(default=1000, metadata={"help": "Number of steps between two checkpoints."})
    save_total_limit: int | None = field(
        default=2,
        metadata={"help": "Number of checkpoints to keep. The best one and the newest are always kept."},
    )
    load_best_model_at_end: bool = field(
        default=True, metadata={"help": "Whether the final model has the weights of the best evaluation."}
    )
    metric_for_best_model: str | None = field(
        default="recall_at_1", metadata={"help": "Metric of the evaluation that decides which checkpoint is best."}
    )
    greater_is_better: bool | None = field(
        default=True, metadata={"help": "Whether larger values of metric_for_best_model are better."}
    )
    remove_unused_columns: bool = field(
        default=False,
        metadata={"help": "Must stay off, because the trainer reads the images from their column."},
    )
    report_to: str = field(
        default="none", metadata={"help": "Experiment tracker to report to: none, tensorboard, wandb, trackio, all..."}
    )
    dataloader_num_workers: int = field(
        default=AUTO_WORKERS,
        metadata={
            "help": f"Number of processes that decode images; {AUTO_WORKERS}: at most {MAX_AUTO_WORKERS}, the cores of "
            "each training process, on a GPU; 0 on a CPU, where they would take cores from the model."
        },
    )
    dataloader_persistent_workers: bool = field(
        default=True, metadata={"help": "Whether these processes are kept from one epoch to the next."}
    )

    on_bad_image: str = field(
        default="error",
        metadata={
            "help": "What to do before training about images that cannot be read: 'error' names them and stops, 'skip' "
            "leaves them out and reports them, 'mend' completes truncated JPEG files and leaves the others out."
        },
    )

    ddp_find_unused_parameters: bool | None = field(
        default=False,
        metadata={"help": "Kept off, because every trained parameter of a retrieval model has a gradient."},
    )

    def __post_init__(self) -> None:
        """Fill in automatic values and check the settings of retrieval."""
        if self.dataloader_num_workers == AUTO_WORKERS:
            on_gpu = torch.cuda.is_available() and not self.use_cpu
            self.dataloader_num_workers = min(MAX_AUTO_WORKERS, cores_per_process()) if on_gpu else 0
        self.dataloader_persistent_workers &= self.dataloader_num_workers > 0
        if self.loss not in PAIR_LOSSES and not _names_a_class(self.loss):
            raise ValueError(
                f"loss must be one of {', '.join(PAIR_LOSSES)}, or a class of your own as module:Class (such as "
                f"my_package.my_losses:MyLoss); got {self.loss!r}"
            )
        if self.memory_size is not None and (self.memory_size < 0 or (self.memory_size > 1 and self.memory_size % 1)):
            raise ValueError(
                "memory_size must be 0 (no memory), a share of the training set up to 1, or a whole number of "
                f"embeddings; got {self.memory_size}"
            )
        if self.memory_start_step < 0:
            raise ValueError(f"memory_start_step must be 0 or more; got {self.memory_start_step}")
        if not 0 <= self.memory_momentum < 1:
            raise ValueError(f"memory_momentum must be at least 0 and below 1; got {self.memory_momentum}")
        if self.micro_batch_size is not None and self.micro_batch_size < 1:
            raise ValueError(f"micro_batch_size must be at least 1 image; got {self.micro_batch_size}")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be above 0 and at most 1 (no decay); got {self.layer_decay}")
        if self.loss_learning_rate is None:
            self.loss_learning_rate = PROXY_LEARNING_RATE_FACTOR * self.learning_rate
        if self.warmup_steps and self.lr_scheduler_type == SchedulerType.CONSTANT:
            # Trainer's constant schedule ignores warmup_steps.
            self.lr_scheduler_type = SchedulerType.CONSTANT_WITH_WARMUP
        if 1 not in self.eval_ks or min(self.eval_ks) < 1:
            raise ValueError(f"eval_ks must be numbers of 1 or more, 1 among them; got {self.eval_ks}")
        if self.on_bad_image not in ON_BAD_IMAGE:
            raise ValueError(f"on_bad_image must be one of {', '.join(ON_BAD_IMAGE)}; got {self.on_bad_image!r}")
        if self.augmentation not in AUGMENTATIONS:
            raise ValueError(f"augmentation must be one of {', '.join(AUGMENTATIONS)}; got {self.augmentation!r}")
        # With use_cpu, Trainer allows bf16 on a CPU, which doubles the speed of a ViT.
        self.use_cpu = self.use_cpu or not torch.accelerator.is_available()
        super().__post_init__()  # type: ignore[no-untyped-call]

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """Return the type of mixed precision; `None` is full precision."""
        return torch.bfloat16 if self.bf16 else torch.float16 if self.fp16 else None

    @property
    def order_seed(self) -> int:
        """Return the seed of the order of the training images: `data_seed` if it is set, else `seed`."""
        return self.seed if self.data_seed is None else self.data_seed

    @property
    def step_images(self) -> int:
        """Return the number of images in a batch of all processes together."""
        return int(self.train_batch_size) * int(self.world_size)


def _names_a_class(text: str) -> bool:
    """Check whether a text has the form `module:Class`, where the module may be inside packages."""
    module, _, name = text.partition(":")
    return name.isidentifier() and all(part.isidentifier() for part in module.split("."))
