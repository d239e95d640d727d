"""What a retrieval run does around Trainer's own steps."""

from typing import Any, Protocol

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .batches.sampler import EpochSampler
from .distributed.gathering import average_gradients
from .steps.momentum_encoder import MomentumEncoder


class RetrievalRun(Protocol):
    """The parts of a trainer that the hooks keep in step.

    Attributes:
        model: The model that is trained.
        loss: The loss, or `None` where it has no weights.
        sampler: The sampler of the training batches, once there is one.
        momentum_encoder: The slow copy of the model that fills the memory, or `None`.
    """

    model: Any
    loss: nn.Module | None
    sampler: EpochSampler | None
    momentum_encoder: MomentumEncoder | None

    def start_proxies(self) -> None:
        """Place the proxies of a loss at the mean embeddings of their classes."""


class StepHooks(TrainerCallback):
    """Keep sampler, loss and momentum encoder in step with the optimiser.

    Args:
        trainer: The run.
    """

    def __init__(self, trainer: RetrievalRun) -> None:
        self._trainer = trainer

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Let proxies start where the classes are; a resumed run goes on with its own."""
        if state.global_step == 0:
            self._trainer.start_proxies()

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell the sampler its epoch: accelerate does not, where several processes resume in the middle of one."""
        sampler = self._trainer.sampler
        if sampler is not None:
            batches = len(sampler) // sampler.batch_size
            sampler.set_epoch(state.global_step // -(-batches // args.gradient_accumulation_steps))

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Average the gradients of the loss's own weights over the processes, as DDP does with the model's."""
        if args.world_size > 1 and self._trainer.loss is not None:
            average_gradients(self._trainer.loss.parameters())

    def on_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Clear those gradients (Trainer clears the model's), and let the momentum encoder follow the model."""
        trainer = self._trainer
        if trainer.loss is not None:
            trainer.loss.zero_grad()
        if trainer.momentum_encoder is not None:
            trainer.momentum_encoder.update(trainer.model)
