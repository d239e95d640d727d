"""`TupleTrainingArguments`: the settings of a run on tuples, with those of the paper for SfM-120k as defaults."""

from dataclasses import dataclass, field
from typing import ClassVar

from transformers.trainer_utils import SchedulerType

from ..training_args import RetrievalTrainingArguments


@dataclass
class TupleTrainingArguments(RetrievalTrainingArguments):
    """`RetrievalTrainingArguments` with the settings of the paper for SfM-120k, and the settings of the mining.

    The defaults are 100 epochs of 2,000 pairs, five negatives for each pair out of 22,000 images, five tuples a step,
    Euclidean margin 0.85, KoLeo weight 4, and Adam at 5e-7 with weight decay 1e-6 (arXiv 2102.05644, section 4.1). Two
    settings come from the code of Radenovic et al. (arXiv 1711.02512), which the paper builds on without describing
    them: the learning rate falls by a factor of exp(-0.01) in each epoch, and weight decay is added to the gradient of
    every weight.

    `per_device_train_batch_size` counts images in whole tuples: five tuples of seven images are 35. W processes make a
    step of W times as many tuples, and its loss is the sum over all of them: with more processes, lower the number on
    each, or lower the learning rate. `gradient_accumulation_steps` averages several such sums. If a step of five tuples
    does not fit into memory, set `micro_batch_size`.

    Raises:
        ValueError: A field is outside its domain; the message names the field.
    """

    UNUSED: ClassVar[tuple[str, ...]] = (
        *("loss", "temperature", "images_per_class"),
        *("memory_size", "memory_weight", "memory_start_step", "memory_momentum"),
    )

    num_negatives: int = field(default=5, metadata={"help": "Number of negatives that are mined for each pair."})
    pairs_per_epoch: int = field(
        default=2_000, metadata={"help": "Number of pairs drawn in each epoch; all of them if there are fewer."}
    )
    pool_size: int = field(
        default=22_000,
        metadata={
            "help": "Number of images drawn in each epoch to mine negatives from; all of them if there are fewer."
        },
    )
    lr_decay: float = field(
        default=0.01,
        metadata={
            "help": "The learning rate falls by a factor of exp(-lr_decay) in each epoch; 0: lr_scheduler_type decides."
        },
    )
    l2_decay: bool = field(
        default=True,
        metadata={
            "help": "Whether weight decay is added to the gradient of every weight, biases and norms included, with "
            "Adam; if not, AdamW decays the weights other than biases and norms."
        },
    )

    margin: float = field(
        default=0.85,
        metadata={"help": "Euclidean distance below which a negative adds to the loss, up to 2 (beta in the paper)."},
    )
    koleo_weight: float = field(
        default=4.0,
        metadata={
            "help": "Weight of the KoLeo term, which spreads the embeddings (lambda in the paper); 0 trains without it."
        },
    )
    memory_size: float | None = field(
        default=0, metadata={"help": "Must stay 0, because training on tuples has no memory."}
    )
    flip: float = field(
        default=0.0, metadata={"help": "Probability that a training image is flipped horizontally, 0 to 1."}
    )
    per_device_train_batch_size: int = field(
        default=35,
        metadata={"help": "Number of training images in a batch on each device: tuples times 2 + num_negatives."},
    )
    learning_rate: float = field(default=5e-7, metadata={"help": "Learning rate in the first epoch."})
    weight_decay: float = field(default=1e-6, metadata={"help": "Weight decay of the optimiser."})
    max_steps: int = field(
        default=-1, metadata={"help": "Number of optimiser steps; above 0 it takes precedence over num_train_epochs."}
    )
    num_train_epochs: float = field(
        default=100, metadata={"help": "Number of epochs, each with newly mined tuples; max_steps takes precedence."}
    )
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate: no, steps or epoch."})
    save_strategy: str = field(
        default="epoch", metadata={"help": "When to save a checkpoint: no, steps, epoch or best."}
    )
    metric_for_best_model: str | None = field(
        default="map_at_r", metadata={"help": "Metric of the evaluation that decides which checkpoint is best."}
    )

    def __post_init__(self) -> None:
        """Check the settings of the tuples, after those of the base class."""
        super().__post_init__()
        for name in ("num_negatives", "pairs_per_epoch", "pool_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1; got {getattr(self, name)}")
        if self.per_device_train_batch_size % self.tuple_size:
            raise ValueError(
                f"per_device_train_batch_size must be a multiple of {self.tuple_size} images (anchor, positive, "
                f"{self.num_negatives} negatives); got {self.per_device_train_batch_size}"
            )
        if self.loss != "contrastive" or self.memory_size:
            raise ValueError(
                "expected loss contrastive and memory_size 0, because a run on tuples has the contrastive loss of its "
                f"tuples and no memory; got loss {self.loss} and memory_size {self.memory_size}. Leave both options out"
            )
        if self.lr_decay < 0:
            raise ValueError(f"lr_decay must be 0 (none) or more; got {self.lr_decay}")
        if self.lr_decay and (self.lr_scheduler_type != SchedulerType.CONSTANT or self.warmup_steps):
            raise ValueError(
                "expected lr_decay 0 with lr_scheduler_type or warmup_steps, because lr_decay is a schedule itself; "
                f"got lr_decay {self.lr_decay}. Set it to 0, or leave the other option out"
            )

    @property
    def tuple_size(self) -> int:
        """Return the number of images in a tuple."""
        return 2 + self.num_negatives
