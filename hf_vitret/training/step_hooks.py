"""The callback that a retrieval trainer adds to Trainer: it updates sampler, loss and momentum encoder each step."""

from typing import Any, Protocol

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .batches.sampler import EpochSampler
from .distributed.gathering import average_gradients
from .steps.momentum_encoder import MomentumEncoder


class RetrievalRun(Protocol):
    """The parts of a trainer that `StepHooks` updates.

    Attributes:
        model: The model that is trained.
        loss: The loss; `None` in a trainer without one, which can only evaluate.
        sampler: The sampler of the training batches; `None` without a training set.
        momentum_encoder: The moving average of the model that computes the embeddings in the memory, or `None`.
    """

    model: Any
    loss: nn.Module | None
    sampler: EpochSampler | None
    momentum_encoder: MomentumEncoder | None

    def start_proxies(self) -> None:
        """Set the proxies of the loss, if it has any, to the mean embeddings of their classes."""


class StepHooks(TrainerCallback):
    """Update sampler, loss and momentum encoder around the steps of the optimiser.

    Args:
        trainer: The trainer of the run.
    """

    def __init__(self, trainer: RetrievalRun) -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the proxies to the class means in a new run; a resumed run has them in its checkpoint."""
        if state.global_step == 0:
            self._trainer.start_proxies()

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Set the epoch of the sampler: accelerate does not if several processes resume in the middle of an epoch."""
        sampler = self._trainer.sampler
        if sampler is not None:
            batches = len(sampler) // sampler.batch_size
            sampler.set_epoch(state.global_step // -(-batches // args.gradient_accumulation_steps))

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Average the gradients of the weights of the loss over the processes, as DDP does for the model."""
        if args.world_size > 1 and self._trainer.loss is not None:
            average_gradients(self._trainer.loss.parameters())

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Clear the gradients of the loss (Trainer clears those of the model) and update the momentum encoder."""
        trainer = self._trainer
        if trainer.loss is not None:
            trainer.loss.zero_grad()
        if trainer.momentum_encoder is not None:
            trainer.momentum_encoder.update(trainer.model)
