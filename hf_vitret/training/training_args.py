"""Arguments of a retrieval training run: the paper's settings are the defaults."""

import os
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import SchedulerType

from ..data.image_checks import ON_BAD_IMAGE
from ..evaluation.evaluator import DEFAULT_KS
from ..losses.retrieval import PAIR_LOSSES
from .batches.transforms import AUGMENTATIONS

# A loss's proxies are new, where the model is not: 100 times its learning rate, as in the code of Proxy-Anchor
# (Kim et al. 2020, arXiv 2003.13911).
PROXY_LEARNING_RATE_FACTOR = 100

AUTO_WORKERS = -1
MAX_AUTO_WORKERS = 8


def cores_per_process() -> int:
    """Return this process's share of the machine's cores, beside the others that its launcher started here."""
    return max(1, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


@dataclass
class RetrievalTrainingArguments(TrainingArguments):
    """`transformers.TrainingArguments` with the paper's values as defaults, and the retrieval settings.

    The defaults are those of Stanford Online Products (arXiv 2102.05644, section 4.1): AdamW at a constant learning
    rate of 3e-5, weight decay 5e-4, batch 64, 35,000 steps, margin 0.5, KoLeo weight 0.7, a memory as large as the
    training set. Where the paper says nothing, what is off in it is off here: no gradient clipping
    (`max_grad_norm=0`), no warm-up.

    `per_device_train_batch_size` is a rank's part of the contrastive batch: W processes make one batch of W times
    as many images. To make that batch larger than the device's memory allows, set `micro_batch_size`: all its images
    are compared with each other, and their gradient is that of one large step (gradient caching; it costs a second
    forward pass). `gradient_accumulation_steps` is another thing, and what Trainer means by it: the mean gradient of
    several batches that never see each other, at no extra cost. Memory and KoLeo work with both.

    Raises:
        ValueError: A field is outside its domain; the message names it.
    """

    UNUSED: ClassVar[tuple[str, ...]] = ()
    """Settings that mean nothing in a run of this kind, and are not reported."""

    output_dir: str | None = field(default=None, metadata={"help": "Folder for checkpoints and the final model."})

    loss: str = field(
        default="contrastive",
        metadata={
            "help": f"Loss that compares the images: {', '.join(PAIR_LOSSES)}; or a torch.nn.Module class of your own "
            "as module:Class, such as my_package.my_losses:MyLoss. The class takes the place of the contrastive loss; "
            "its constructor gets margin, temperature (if set), num_classes and embedding_dim where it has parameters "
            "of these names. The other defaults are the paper's for contrastive."
        },
    )
    temperature: float | None = field(
        default=None, metadata={"help": "Temperature of supcon and normalized_softmax; default: the loss's own."}
    )
    margin: float = field(
        default=0.5, metadata={"help": "Cosine above which a negative pair costs, -1 to 1 (beta in the paper)."}
    )
    koleo_weight: float = field(
        default=0.7,
        metadata={
            "help": "Weight of the differential-entropy term (lambda in the paper); 0 is IRT_L. Measured (README): it "
            "costs while R@1 on other classes still rises, and pays once a run overfits, the sooner the fewer classes "
            "there are; take 0 for short runs on many."
        },
    )
    koleo_neighbors: str = field(
        default="all",
        metadata={
            "help": "Whom KoLeo pushes away: 'all' (the paper) or 'negatives' (other classes only: measured, the best "
            "of the three in short runs, and no help in long ones)."
        },
    )
    memory_size: float | None = field(
        default=None,
        metadata={
            "help": "Embeddings in the cross-batch memory; up to 1: that share of the training set; 0 is none; "
            "default: the size of the training set (none for the losses that compare no pairs)."
        },
    )
    memory_weight: float = field(default=1.0, metadata={"help": "Weight of the memory's term."})
    memory_start_step: int = field(
        default=0, metadata={"help": "Optimiser steps before the memory is filled and compared with."}
    )
    memory_momentum: float = field(
        default=0.0,
        metadata={
            "help": "Momentum of a slow copy of the model that makes the memory's entries (the paper: 0.999, for "
            "In-Shop); 0: the model itself makes them."
        },
    )
    images_per_class: int = field(default=4, metadata={"help": "Images of each class in a batch (K)."})
    augmentation: str = field(
        default="random_crop", metadata={"help": f"Training augmentation: {' or '.join(AUGMENTATIONS)}."}
    )
    flip: float = field(default=0.5, metadata={"help": "Probability of a horizontal flip in training."})

    per_device_train_batch_size: int = field(
        default=64, metadata={"help": "Images in a batch on each device: classes times images_per_class."}
    )
    micro_batch_size: int | None = field(
        default=None,
        metadata={
            "help": "Images that pass through the model at once in training (gradient caching); default: the whole "
            "batch of a device."
        },
    )
    per_device_eval_batch_size: int = field(default=64, metadata={"help": "Images embedded at once."})
    learning_rate: float = field(default=3e-5, metadata={"help": "Learning rate of AdamW."})
    weight_decay: float = field(default=5e-4, metadata={"help": "Weight decay of AdamW."})
    layer_decay: float = field(
        default=1.0,
        metadata={"help": "Factor by which the learning rate falls with each block towards the input; 1: no decay."},
    )
    loss_learning_rate: float | None = field(
        default=None,
        metadata={"help": "Learning rate of a loss's own weights (proxies); default: 100 times the model's."},
    )
    lr_scheduler_type: str = field(
        default="constant", metadata={"help": "Learning-rate schedule; constant begins with --warmup_steps if given."}
    )
    max_steps: int = field(default=35_000, metadata={"help": "Optimiser steps; above 0 it overrides the epochs."})
    max_grad_norm: float = field(default=0.0, metadata={"help": "Gradient clipping; 0 is none, as in the paper."})
    logging_steps: float = field(default=50, metadata={"help": "Steps between two lines of the log."})
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Whether to hide NaN and infinite losses from the log."}
    )
    eval_strategy: str = field(default="steps", metadata={"help": "When to evaluate: no, steps or epoch."})
    eval_steps: float | None = field(default=1000, metadata={"help": "Steps between two evaluations."})
    eval_ks: list[int] = field(
        default_factory=lambda: list(DEFAULT_KS),
        metadata={"help": "Ranks K of the R@K that an evaluation reports; 1 among them."},
    )
    save_strategy: str = field(default="steps", metadata={"help": "When to save: no, steps, epoch or best."})
    save_steps: float = field(default=1000, metadata={"help": "Steps between two checkpoints."})
    save_total_limit: int | None = field(
        default=2, metadata={"help": "Checkpoints to keep: the best one and the newest are always kept."}
    )
    load_best_model_at_end: bool = field(
        default=True, metadata={"help": "Whether to end with the weights of the best evaluation."}
    )
    metric_for_best_model: str | None = field(
        default="recall_at_1", metadata={"help": "Metric by which the best checkpoint is chosen."}
    )
    greater_is_better: bool | None = field(default=True, metadata={"help": "Whether that metric is to be large."})
    remove_unused_columns: bool = field(
        default=False, metadata={"help": "Kept off: the images are turned into pixels on the fly."}
    )
    report_to: str = field(default="none", metadata={"help": "Experiment tracker: tensorboard, wandb, trackio, all..."})
    dataloader_num_workers: int = field(
        default=AUTO_WORKERS,
        metadata={
            "help": "Processes that decode images; -1: up to 8 a process with a GPU, none on a CPU, where they "
            "would take the cores that the model runs on."
        },
    )
    dataloader_persistent_workers: bool = field(
        default=True, metadata={"help": "Whether those processes live from epoch to epoch."}
    )

    on_bad_image: str = field(
        default="error",
        metadata={
            "help": "What a recipe does with an image that cannot be read, before it trains: 'error' names them and "
            "stops, 'skip' leaves them out and says so."
        },
    )

    ddp_find_unused_parameters: bool | None = field(
        default=False, metadata={"help": "Kept off: every parameter of a retrieval model has a gradient."}
    )

    def __post_init__(self) -> None:
        """Resolve what is automatic and check the retrieval settings."""
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
            self.lr_scheduler_type = SchedulerType.CONSTANT_WITH_WARMUP  # Trainer's constant schedule would ignore it
        if 1 not in self.eval_ks or min(self.eval_ks) < 1:
            raise ValueError(f"eval_ks must be ranks of 1 and more, 1 among them; got {self.eval_ks}")
        if self.on_bad_image not in ON_BAD_IMAGE:
            raise ValueError(f"on_bad_image must be one of {', '.join(ON_BAD_IMAGE)}; got {self.on_bad_image!r}")
        if self.augmentation not in AUGMENTATIONS:
            raise ValueError(f"augmentation must be one of {', '.join(AUGMENTATIONS)}; got {self.augmentation!r}")
        # Without an accelerator, saying so lets Trainer use bf16 on the CPU, where it doubles a ViT's speed.
        self.use_cpu = self.use_cpu or not torch.accelerator.is_available()
        super().__post_init__()  # type: ignore[no-untyped-call]

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """The type of mixed precision; `None` for full precision."""
        return torch.bfloat16 if self.bf16 else torch.float16 if self.fp16 else None

    @property
    def order_seed(self) -> int:
        """The seed of the order in which images are shown."""
        return self.seed if self.data_seed is None else self.data_seed

    @property
    def step_images(self) -> int:
        """Images of one batch of all processes together."""
        return int(self.train_batch_size) * int(self.world_size)


def _names_a_class(text: str) -> bool:
    """Check whether a text has the form `module:Class`, where the module may be inside packages."""
    module, _, name = text.partition(":")
    return name.isidentifier() and all(part.isidentifier() for part in module.split("."))
