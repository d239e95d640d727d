"""The retrieval trainer for tuples, which are mined at the start of each epoch."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from transformers import PreTrainedModel, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ...data.schema import column_values
from ...losses.retrieval import RetrievalLoss
from ...losses.tuple_contrastive import TupleContrastiveLoss
from ..batches.cached_features import CachedFeatures
from ..batches.sampler import EpochSampler
from ..batches.training_set import TrainingSet
from ..trainer import RetrievalTrainer
from ..training_args import RetrievalTrainingArguments
from .arguments import TupleTrainingArguments
from .mining import mine_tuples
from .pairs import PAIR_COLUMNS
from .sampler import TupleSampler

if TYPE_CHECKING:
    from datasets import Dataset

TUPLES, EPOCH = "tuples.rows", "tuples.epoch"  # names of tensors in a checkpoint


class TupleTrainer(RetrievalTrainer):
    """Fine-tune a retrieval model on tuples of an anchor, a positive and mined negatives.

    The loss of a step is the sum of the contrastive terms of its tuples, plus `koleo_weight` times the KoLeo term, a
    mean over all images of the step. The paper does not say whether KoLeo is computed on a tuple or on the step; here
    the N images of its formula are those of the step. With several processes, both terms are those of one process with
    all tuples.

    An image that is a negative of two tuples of a step is in it twice. Its nearest neighbour is then itself, and its
    KoLeo term is a constant without gradient.

    Args:
        model: A `ViTRetModel`, or one with LoRA adapters.
        args: The settings of the run.
        train_dataset: A data set with the columns `image`, `label` and `image_id`; the label is the cluster of the
            image, such as its 3-D model.
        eval_dataset: A data set with the same columns, in which each image is a query and searches the others
            (leave-one-out); or a mapping with the data sets `query` and `gallery`, or `test`; `None` for no evaluation.
        loss: A loss with the signature of `RetrievalLoss` for batches of tuples; `None` builds the objective of `args`.
        pairs: A data set with the int64 columns `anchor` and `positive`, rows of `train_dataset`, as
            `load_sfm120k_pairs` returns it.
        **kwargs: Further arguments of `transformers.Trainer`, such as `callbacks`.

    Raises:
        ValueError: Columns are missing, a pair is not of this training set, or there are too few pairs or clusters.
            This is checked before training starts.

    Reference:
        El-Nouby et al., "Training Vision Transformers for Image Retrieval", arXiv 2102.05644, section 4.1; Radenovic
        et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", arXiv 1711.02512, and its code.
    """

    args: TupleTrainingArguments

    def __init__(
        self,
        model: PreTrainedModel,
        args: TupleTrainingArguments,
        train_dataset: "Dataset",
        eval_dataset: "Dataset | Mapping[str, Dataset] | None" = None,
        loss: nn.Module | None = None,
        *,
        pairs: "Dataset",
        **kwargs: Any,
    ) -> None:
        if isinstance(train_dataset, CachedFeatures):
            raise ValueError(
                "expected a training set of images, from which tuples are mined; got cached features. Leave "
                "--head_only out"
            )
        missing = [name for name in PAIR_COLUMNS if name not in pairs.column_names]
        if missing:
            raise ValueError(
                f"expected pairs with the columns anchor and positive; got {', '.join(pairs.column_names)}. Rename the "
                "columns, or load the pairs with load_sfm120k_pairs"
            )
        self._pairs = np.array(
            [column_values(pairs, name) for name in PAIR_COLUMNS], dtype=np.int64
        ).T  # (num_pairs, 2)
        self.tuple_sampler: TupleSampler
        if loss is None:
            loss = RetrievalLoss(
                koleo_weight=args.koleo_weight,
                koleo_neighbors=args.koleo_neighbors,  # type: ignore[arg-type]  # KoLeoLoss checks it
                pair_loss=TupleContrastiveLoss(args.margin, args.num_negatives),
            )
        super().__init__(model, args, train_dataset, eval_dataset, loss, **kwargs)
        self._images = train_dataset.select_columns(["image"])
        self.callback_handler.callbacks.insert(1, _MineTuples(self))  # after StepHooks has set the epoch of the sampler

    def _build_sampler(self, training_set: TrainingSet, args: RetrievalTrainingArguments) -> EpochSampler:
        assert isinstance(args, TupleTrainingArguments)
        self.tuple_sampler = TupleSampler(
            self._pairs,
            training_set.class_ids,
            args.step_images,
            args.num_negatives,
            args.pairs_per_epoch,
            args.pool_size,
            args.order_seed,
        )
        return self.tuple_sampler

    def mine(self) -> None:
        """Mine the tuples of the sampler's epoch, unless they were loaded from a checkpoint."""
        sampler = self.tuple_sampler
        if sampler.mined_epoch == sampler.epoch:
            return
        tuples = mine_tuples(
            self.model,
            self._images,
            sampler,
            sampler.epoch,
            device=self.args.device,
            batch_size=self.args.per_device_eval_batch_size,
            num_workers=self.args.dataloader_num_workers,
            dtype=self.args.autocast_dtype,
            progress=not self.args.disable_tqdm,
        )
        sampler.use(tuples, sampler.epoch)

    @staticmethod
    def get_optimizer_cls_and_kwargs(args: TrainingArguments, model: PreTrainedModel | None = None) -> tuple[Any, Any]:
        """Return the optimizer class and its settings: Adam instead of AdamW if `args.l2_decay` is set.

        Args:
            args: The settings of the run.
            model: The model to optimise.

        Returns:
            The class and its keyword arguments, as `transformers.Trainer.get_optimizer_cls_and_kwargs` returns them.
        """
        optimizer_class, settings = RetrievalTrainer.get_optimizer_cls_and_kwargs(args, model)
        is_coupled = optimizer_class is torch.optim.AdamW and getattr(args, "l2_decay", False)
        return torch.optim.Adam if is_coupled else optimizer_class, settings

    def get_decay_parameter_names(self, model: nn.Module) -> list[str]:
        """Return the names of the parameters with weight decay: all of them if `args.l2_decay` is set.

        Args:
            model: The model to optimise.
        """
        if self.args.l2_decay:
            return [name for name, _ in model.named_parameters()]
        return super().get_decay_parameter_names(model)

    def create_scheduler(self, num_training_steps: int, optimizer: torch.optim.Optimizer | None = None) -> Any:
        """Build the schedule, which lowers the learning rate after each epoch if `args.lr_decay` is above 0.

        Args:
            num_training_steps: Number of optimiser steps of the run.
            optimizer: The optimizer; `None` takes that of the trainer.

        Returns:
            The schedule of torch.
        """
        if self.lr_scheduler is None and self.args.lr_decay:
            batches = len(self.tuple_sampler) // self.tuple_sampler.batch_size
            steps, decay = -(-batches // self.args.gradient_accumulation_steps), self.args.lr_decay
            scheduled: Any = optimizer or self.optimizer
            self.lr_scheduler = LambdaLR(scheduled, lambda step: math.exp(-decay * (step // steps)))
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)

    def extra_state(self) -> dict[str, torch.Tensor]:
        """Return the state of the base class and the tuples of the epoch, which later weights cannot mine again."""
        sampler = self.tuple_sampler
        tuples = {TUPLES: torch.from_numpy(sampler.tuples), EPOCH: torch.tensor([sampler.mined_epoch])}
        return super().extra_state() | tuples

    def load_extra_state(self, state: dict[str, torch.Tensor], path: Path) -> None:
        """Restore the tuples and the state of the base class from a checkpoint.

        Args:
            state: The tensors of the checkpoint by name; those that are used are removed from it.
            path: The file that they were read from, for error messages.

        Raises:
            ValueError: The checkpoint has no tuples, or those of a run with other settings.
        """
        if TUPLES not in state:
            raise ValueError(
                f"expected the mined tuples of a run in {path}; there are none. Resume from a checkpoint of a run on "
                "tuples"
            )
        self.tuple_sampler.use(state.pop(TUPLES).numpy(), int(state.pop(EPOCH)))
        super().load_extra_state(state, path)


class _MineTuples(TrainerCallback):
    """Mine tuples at the start of each epoch."""

    def __init__(self, trainer: TupleTrainer) -> None:
        self._trainer = trainer

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Mine, unless the run was resumed after its last step."""
        if state.global_step < state.max_steps:
            self._trainer.mine()
