"""Hugging Face's Trainer with the retrieval loss, its memory, and retrieval evaluation."""

import functools
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.trainer_utils import speed_metrics

from ..evaluation.evaluator import RetrievalEvaluator
from ..inference.class_token import class_token_only
from .batches.cached_features import CachedFeatures
from .batches.data_wait import DataWait
from .batches.sampler import ClassBalancedSampler, EpochSampler
from .batches.training_images import DrawSampler, collate
from .batches.training_set import TrainingSet
from .batches.transforms import TrainTransform
from .checkpoints.module_states import load_module_states, module_states
from .checkpoints.resumable import ResumableTrainer
from .checkpoints.sharded_weights import shard_by_block
from .distributed.gathering import broadcast_parameters, gather_batch, gather_rows
from .distributed.sharded_evaluation import ShardedEmbeddings, embed_shares
from .step_hooks import StepHooks
from .steps.finite_guard import FiniteGuard
from .steps.gradient_caching import CachedBatch
from .steps.loss_log import LossLog
from .steps.momentum_encoder import build_momentum_encoder
from .steps.objective import adapt_loss, build_loss
from .trainable.parameter_groups import parameter_groups
from .trainable.proxy_start import mean_embeddings
from .training_args import RetrievalTrainingArguments

if TYPE_CHECKING:
    from datasets import Dataset
    from torch.utils.data import DataLoader

INPUTS = ("pixel_values", "pooled")
LOG_PREFIX = "log."


class RetrievalTrainer(ResumableTrainer):
    """Fine-tune a retrieval model: P x K batches, contrastive loss with memory and KoLeo, R@K evaluation.

    Under several processes the batch of a step is that of all processes together: embeddings are gathered with their
    gradient, each process computes the loss of its own rows, and the memories of all processes hold the same.

    Args:
        model: A `ViTRetModel`, or one with LoRA adapters.
        args: Settings of the run.
        train_dataset: Columns `image`, `label`, `image_id`, as `load_retrieval_dataset` gives them; or the
            `CachedFeatures` of a frozen backbone, to train the projection alone.
        eval_dataset: The same columns (leave-one-out), or a mapping with `query` and `gallery`, or `test`.
        loss: A loss with the signature of `RetrievalLoss`, or one of pytorch-metric-learning; its labels are classes
            from 0 to their number - 1. `None` builds what `args` asks for, with a memory as large as the training set
            unless `args.memory_size` says otherwise.
        **kwargs: As for `transformers.Trainer`.

    Raises:
        ValueError: Columns are missing, the data has too few classes for a batch, or the memory is smaller than one
            batch: before training starts.
    """

    args: RetrievalTrainingArguments
    model: PreTrainedModel

    def __init__(
        self,
        model: PreTrainedModel,
        args: RetrievalTrainingArguments,
        train_dataset: "Dataset | CachedFeatures | None" = None,
        eval_dataset: "Dataset | Mapping[str, Dataset] | None" = None,
        loss: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        # The loss is ours and a mean over anchors: Trainer divides it by the accumulation steps, once.
        self.loss_is_scaled_for_ga = False
        self.sampler: EpochSampler | None = None
        self.training_set: TrainingSet | None = None
        self._starts_proxies = loss is None  # those of a loss that is given are where its maker wants them
        if train_dataset is not None:
            transform = TrainTransform(
                args.augmentation,
                image_size=model.config.image_size,
                resize_size=model.config.resize_size,
                resize_mode=model.config.resize_mode,
                flip=args.flip,
            )
            self.training_set = TrainingSet(train_dataset, transform)
            self.sampler = self._build_sampler(self.training_set, args)
            if loss is None:
                loss = build_loss(
                    args,
                    num_images=len(self.training_set.class_ids),
                    num_classes=self.training_set.num_classes,
                    embedding_dim=model.config.output_dim,
                    global_batch=args.step_images,
                )
            kwargs["train_dataset"] = self.training_set.examples
        kwargs.setdefault("data_collator", collate)
        super().__init__(model=model, args=args, eval_dataset=eval_dataset, **kwargs)
        self.loss = None if loss is None else adapt_loss(loss).to(args.device)
        if self.loss is not None and args.world_size > 1:
            broadcast_parameters(self.loss)
        if self.is_fsdp_enabled:
            shard_by_block(self.accelerator.state.fsdp_plugin, model)
        is_sharded = self.is_fsdp_enabled or self.is_deepspeed_enabled
        self.momentum_encoder = build_momentum_encoder(self.model, args, self.loss, is_sharded=is_sharded)
        self.evaluator = None if eval_dataset is None else self._build_evaluator(eval_dataset)
        self.eval_embeddings: ShardedEmbeddings  # of the newest evaluation, for pictures
        self._log = LossLog()
        self._data_wait = DataWait()
        self._guard = FiniteGuard(self._image_ids, self.last_checkpoint)
        self._cached: CachedBatch | None = None
        self.callback_handler.callbacks.insert(0, StepHooks(self))  # first: others may look at the gradients

    def _build_sampler(self, training_set: TrainingSet, args: RetrievalTrainingArguments) -> EpochSampler:
        """Choose what draws the batches, before Trainer's own constructor runs."""
        return ClassBalancedSampler(training_set.class_ids, args.step_images, args.images_per_class, args.order_seed)

    def _build_evaluator(self, eval_dataset: "Dataset | Mapping[str, Dataset]") -> RetrievalEvaluator:
        return RetrievalEvaluator(
            eval_dataset,
            ks=self.args.eval_ks,
            batch_size=self.args.per_device_eval_batch_size,
            num_workers=self.args.dataloader_num_workers,
            dtype=self.args.autocast_dtype,
        )

    def _image_ids(self, rows: Sequence[int]) -> list[str]:
        return [] if self.training_set is None else self.training_set.image_ids(rows)

    def _get_train_sampler(self, train_dataset: Any = None) -> DrawSampler | EpochSampler | None:
        return None if self.training_set is None or self.sampler is None else self.training_set.order(self.sampler)

    def get_train_dataloader(self) -> "DataLoader[Any]":
        """Build the loader; it seeds its workers from numbers of its own.

        By default those come from the run's random numbers whenever workers start. A resumed run starts them once more
        than one that was never stopped, and would go on with other dropout.
        """
        loader: DataLoader[Any] = super().get_train_dataloader()
        own = torch.Generator().manual_seed(self.args.order_seed)
        for each in (loader, getattr(loader, "base_dataloader", loader)):  # accelerate's, and what it wraps
            each.generator = own
        return loader

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Build the optimizer, with a learning rate for each depth and for the weights of the loss."""
        is_new = self.optimizer is None
        trained: Any = self.model if model is None else model
        if is_new and self.args.layer_decay < 1:
            optimizer_class, settings = self.get_optimizer_cls_and_kwargs(self.args, trained)
            groups = parameter_groups(
                trained,
                learning_rate=self.args.learning_rate,
                weight_decay=self.args.weight_decay,
                layer_decay=self.args.layer_decay,
                decay_names=self.get_decay_parameter_names(trained),
            )
            self.optimizer = optimizer_class(groups, **settings)
        optimizer: torch.optim.Optimizer = super().create_optimizer(model)
        own = [] if self.loss is None else list(self.loss.parameters())
        if own and self.is_fsdp_enabled:
            raise ValueError(
                f"{type(self.loss).__name__} has weights of its own, which FSDP does not know; train without sharding "
                "(recipes/accelerate/multi_gpu.yaml), or with a loss that has none"
            )
        if is_new and own:
            optimizer.add_param_group({"params": own, "lr": self.args.loss_learning_rate, "weight_decay": 0.0})
        return optimizer

    def start_proxies(self) -> None:
        """Put the proxies of the loss that `args` asks for, if it has any, at the mean embedding of each class."""
        start_at = getattr(getattr(self.loss, "pair_loss", None), "start_at", None)
        if self._starts_proxies and start_at is not None and self.training_set is not None:
            start_at(mean_embeddings(self.model, self.training_set, self.args))

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train; see `ResumableTrainer.train`."""
        followers = [] if self.momentum_encoder is None else [self.momentum_encoder.encoder]
        with class_token_only(self.model, *followers):
            return super().train(*args, **kwargs)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """Read the batches of a step, on the clock; see `transformers.Trainer.get_batch_samples`."""
        with self._data_wait.of_batch():
            return super().get_batch_samples(*args, **kwargs)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Take one batch forwards and backwards; see `transformers.Trainer.training_step`.

        Raises:
            FloatingPointError: The loss of the batch before was NaN or infinite.
        """
        self._guard.check()
        loss = super().training_step(model, inputs, num_items_in_batch)
        if self._cached is not None:
            self._cached.backward()
            self._cached = None
        return loss

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, torch.Tensor],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Embed the batch and apply the loss; see `transformers.Trainer.compute_loss`."""
        if self.loss is None:
            raise ValueError("expected a train_dataset or a loss to train with; got neither")
        images = {name: inputs[name] for name in INPUTS if name in inputs}
        labels = inputs["labels"]  # (B,)
        micro_batch_size, momentum_encoder = self.args.micro_batch_size, self.momentum_encoder
        memory_embeddings = None if momentum_encoder is None else momentum_encoder(images, micro_batch_size)
        if model.training and micro_batch_size and micro_batch_size < len(labels):
            no_sync = functools.partial(self.accelerator.no_sync, model)
            outputs = self._cached = CachedBatch(model, images, micro_batch_size, no_sync)
        else:
            outputs = model(**images)
        embeddings = outputs.embeddings  # (B, D)
        self.loss.train(model.training)
        extra = {} if memory_embeddings is None else {"memory_embeddings": memory_embeddings}
        if self.args.world_size > 1:
            ref_embeddings, ref_labels, self_index = gather_batch(embeddings, labels)
            if memory_embeddings is not None:
                extra["memory_embeddings"] = gather_rows(memory_embeddings)
            terms = self.loss(embeddings, labels, ref_embeddings, ref_labels, self_index=self_index, **extra)
        else:
            terms = self.loss(embeddings, labels, **extra)
        terms = {"loss": terms} if isinstance(terms, torch.Tensor) else terms
        if model.training:
            self._log.add(terms)
            self._guard.watch(self.state.global_step + 1, inputs["rows"], embeddings, terms["loss"])
        return (terms["loss"], outputs) if return_outputs else terms["loss"]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log; each training loss with its named terms, averaged since the last time over all processes.

        `data_wait` beside it is the share of this process's time since then that went by waiting for batches.

        Raises:
            FloatingPointError: The loss of the last batch was NaN or infinite.
        """
        self._guard.check()
        average = functools.partial(self.accelerator.reduce, reduction="mean")
        if "loss" in logs:
            logs.update(self._log.means(average), data_wait=self._data_wait.recent_share())
        if "train_loss" in logs:
            logs["train_loss"] = self._log.run_mean("loss", average) or logs["train_loss"]
            logs["train_data_wait"] = self._data_wait.share()
        super().log(logs, start_time)

    def _get_grad_norm(self, model: nn.Module, grad_norm: torch.Tensor | float | None = None) -> Any:
        """Measure the gradient where it is logged, not at every step: it costs a pass over all weights."""
        is_logged = (self.state.global_step + 1) % max(1, int(self.state.logging_steps)) == 0
        measured = grad_norm is not None or is_logged
        return super()._get_grad_norm(model, grad_norm) if measured else None  # type: ignore[no-untyped-call]

    def _write_checkpoint(self, folder: Path) -> None:
        self._guard.check()  # no checkpoint holds weights that a broken loss has touched
        super()._write_checkpoint(folder)

    def extra_state(self) -> dict[str, torch.Tensor]:
        """Return the loss's state (its memory), the momentum encoder, and the losses not yet logged."""
        sums = {name: total.to(self.args.device).reshape(1) for name, total in self._log.state_dict().items()}
        if self.args.world_size > 1:
            sums = {name: gather_rows(total) for name, total in sums.items()}  # (world,) each
        return module_states(self._stateful()) | {LOG_PREFIX + name: total for name, total in sums.items()}

    def load_extra_state(self, state: dict[str, torch.Tensor], path: Path) -> None:
        """Go on with the loss, the momentum encoder and the sums of a checkpoint.

        Raises:
            ValueError: The checkpoint is of a run with another loss or memory.
        """
        sums = {name.removeprefix(LOG_PREFIX): state.pop(name) for name in list(state) if name.startswith(LOG_PREFIX)}
        load_module_states(self._stateful(), state, path)
        rank, world = self.args.process_index, self.args.world_size
        own = {name: total[rank] if len(total) == world else total.mean() for name, total in sums.items()}
        self._log.load_state_dict({name: total.to(self.args.device) for name, total in own.items()})

    def _stateful(self) -> dict[str, nn.Module]:
        parts = {"loss": self.loss, "momentum_encoder": self.momentum_encoder}
        return {name: module for name, module in parts.items() if module is not None}

    def evaluate(
        self,
        eval_dataset: "Dataset | Mapping[str, Dataset] | None" = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Embed the evaluation set, each process its share, and score it by exact search.

        Args:
            eval_dataset: As for the constructor; `None` takes the one given there.
            ignore_keys: Not used; part of Trainer's signature.
            metric_key_prefix: Put before each metric's name.

        Returns:
            The metrics of `retrieval_metrics`, prefixed, with the speed.
        """
        self._guard.check()
        evaluator = self.evaluator if eval_dataset is None else self._build_evaluator(eval_dataset)
        if evaluator is None:
            raise ValueError("expected an eval_dataset, here or in the constructor; got none")
        start = time.time()
        self.eval_embeddings = embed_shares(self.model, evaluator, self.args.device)
        scores = self.eval_embeddings.metrics()
        metrics: dict[str, float] = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        num_samples = len(evaluator.query) + (0 if evaluator.gallery is None else len(evaluator.gallery))
        metrics |= speed_metrics(metric_key_prefix, start, num_samples)  # type: ignore[no-untyped-call]
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
