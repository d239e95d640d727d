"""Arguments of a retrieval training run: the paper's settings are the defaults."""

import os
from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments

from .transforms import AUGMENTATIONS

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
    as many images. Gradient accumulation adds up several such batches; it does not make them one.

    Raises:
        ValueError: A field is outside its domain; the message names it.
    """

    output_dir: str | None = field(default=None, metadata={"help": "Folder for checkpoints and the final model."})

    margin: float = field(
        default=0.5, metadata={"help": "Cosine above which a negative pair costs, -1 to 1 (beta in the paper)."}
    )
    koleo_weight: float = field(
        default=0.7, metadata={"help": "Weight of the differential-entropy term (lambda in the paper); 0 is IRT_L."}
    )
    koleo_neighbors: str = field(
        default="all",
        metadata={"help": "Whom KoLeo pushes away: 'all' (the paper) or 'negatives' (other classes only)."},
    )
    memory_size: int | None = field(
        default=None,
        metadata={"help": "Embeddings in the cross-batch memory; 0 is none; default: the size of the training set."},
    )
    memory_weight: float = field(default=1.0, metadata={"help": "Weight of the memory's contrastive term."})
    images_per_class: int = field(default=4, metadata={"help": "Images of each class in a batch (K)."})
    augmentation: str = field(
        default="random_crop", metadata={"help": f"Training augmentation: {' or '.join(AUGMENTATIONS)}."}
    )
    flip: float = field(default=0.5, metadata={"help": "Probability of a horizontal flip in training."})

    per_device_train_batch_size: int = field(
        default=64, metadata={"help": "Images in a batch on each device: classes times images_per_class."}
    )
    per_device_eval_batch_size: int = field(default=64, metadata={"help": "Images embedded at once."})
    learning_rate: float = field(default=3e-5, metadata={"help": "Learning rate of AdamW."})
    weight_decay: float = field(default=5e-4, metadata={"help": "Weight decay of AdamW."})
    lr_scheduler_type: str = field(default="constant", metadata={"help": "Learning-rate schedule."})
    max_steps: int = field(default=35_000, metadata={"help": "Optimiser steps; above 0 it overrides the epochs."})
    max_grad_norm: float = field(default=0.0, metadata={"help": "Gradient clipping; 0 is none, as in the paper."})
    logging_steps: float = field(default=50, metadata={"help": "Steps between two lines of the log."})
    logging_nan_inf_filter: bool = field(
        default=False, metadata={"help": "Whether to hide NaN and infinite losses from the log."}
    )
    eval_strategy: str = field(default="steps", metadata={"help": "When to evaluate: no, steps or epoch."})
    eval_steps: float | None = field(default=1000, metadata={"help": "Steps between two evaluations."})
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

    def __post_init__(self) -> None:
        """Resolve what is automatic and check the retrieval settings."""
        if self.dataloader_num_workers == AUTO_WORKERS:
            on_gpu = torch.cuda.is_available() and not self.use_cpu
            self.dataloader_num_workers = min(MAX_AUTO_WORKERS, cores_per_process()) if on_gpu else 0
        if self.memory_size is not None and self.memory_size < 0:
            raise ValueError(f"memory_size must be 0 (no memory) or more; got {self.memory_size}")
        if self.augmentation not in AUGMENTATIONS:
            raise ValueError(f"augmentation must be one of {', '.join(AUGMENTATIONS)}; got {self.augmentation!r}")
        # Without an accelerator, saying so lets Trainer use bf16 on the CPU, where it doubles a ViT's speed.
        self.use_cpu = self.use_cpu or not torch.accelerator.is_available()
        super().__post_init__()  # type: ignore[no-untyped-call]
