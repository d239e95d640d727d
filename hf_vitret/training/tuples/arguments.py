"""Arguments of a run on tuples: the paper's settings of particular-object retrieval are the defaults."""

from dataclasses import dataclass, field
from typing import ClassVar

from transformers.trainer_utils import SchedulerType

from ..training_args import RetrievalTrainingArguments


@dataclass
class TupleTrainingArguments(RetrievalTrainingArguments):
    """`RetrievalTrainingArguments` with the paper's values for SfM-120k, and the settings of the mining.

    The defaults: 100 epochs of 2,000 pairs, five negatives for each out of 22,000 images, five tuples a step, Euclidean
    margin 0.85, KoLeo weight 4, Adam at 5e-7 with weight decay 1e-6 (arXiv 2102.05644, section 4.1). What the paper
    takes from the code of Radenovic et al. (arXiv 1711.02512) without saying so is as there: the learning rate falls by
    a factor of exp(-0.01) each epoch, and weight decay is added to the gradient, of every weight.

    `per_device_train_batch_size` counts images, in whole tuples: five tuples of seven are 35. W processes make a step
    of W times as many, and its loss is the sum over all of them: with more processes give each of them fewer, or lower
    the learning rate. `gradient_accumulation_steps` takes the mean of several such sums; to make a step of five tuples
    fit, set `micro_batch_size`.

    Raises:
        ValueError: A field is outside its domain; the message names it.
    """

    UNUSED: ClassVar[tuple[str, ...]] = (
        *("loss", "temperature", "images_per_class"),
        *("memory_size", "memory_weight", "memory_start_step", "memory_momentum"),
    )

    num_negatives: int = field(default=5, metadata={"help": "Negatives mined for each pair."})
    pairs_per_epoch: int = field(default=2_000, metadata={"help": "Pairs drawn in each epoch; all where fewer."})
    pool_size: int = field(
        default=22_000, metadata={"help": "Images drawn in each epoch to mine negatives from; all where fewer."}
    )
    lr_decay: float = field(
        default=0.01,
        metadata={"help": "The learning rate falls by a factor of exp(-lr_decay) each epoch; 0: --lr_scheduler_type."},
    )
    l2_decay: bool = field(
        default=True,
        metadata={
            "help": "Adam in AdamW's place: weight decay is added to the gradient, of biases and norms too; false: as "
            "elsewhere."
        },
    )

    margin: float = field(
        default=0.85, metadata={"help": "Euclidean distance below which a negative costs, up to 2 (beta in the paper)."}
    )
    koleo_weight: float = field(
        default=4.0, metadata={"help": "Weight of the differential-entropy term (lambda in the paper); 0 is IRT_L."}
    )
    memory_size: float | None = field(default=0, metadata={"help": "Kept at 0: tuples have no memory."})
    flip: float = field(default=0.0, metadata={"help": "Probability of a horizontal flip in training."})
    per_device_train_batch_size: int = field(
        default=35, metadata={"help": "Images in a batch on each device: tuples times 2 + num_negatives."}
    )
    learning_rate: float = field(default=5e-7, metadata={"help": "Learning rate of the first epoch."})
    weight_decay: float = field(default=1e-6, metadata={"help": "Weight decay."})
    max_steps: int = field(default=-1, metadata={"help": "Optimiser steps; above 0 it overrides the epochs."})
    num_train_epochs: float = field(default=100, metadata={"help": "Epochs, each with tuples of its own."})
    eval_strategy: str = field(default="epoch", metadata={"help": "When to evaluate: no, steps or epoch."})
    save_strategy: str = field(default="epoch", metadata={"help": "When to save: no, steps, epoch or best."})
    metric_for_best_model: str | None = field(
        default="map_at_r", metadata={"help": "Metric by which the best checkpoint is chosen."}
    )

    def __post_init__(self) -> None:
        """Check the settings of the tuples."""
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
                "a run on tuples has the contrastive loss of its tuples, and no memory; got "
                f"loss {self.loss} and memory_size {self.memory_size}"
            )
        if self.lr_decay < 0:
            raise ValueError(f"lr_decay must be 0 (none) or more; got {self.lr_decay}")
        if self.lr_decay and (self.lr_scheduler_type != SchedulerType.CONSTANT or self.warmup_steps):
            raise ValueError("lr_decay is a schedule of its own: set it to 0 for lr_scheduler_type or warmup_steps")

    @property
    def tuple_size(self) -> int:
        """Images in a tuple."""
        return 2 + self.num_negatives
