"""`RetrievalTrainer`: Hugging Face's Trainer with P x K batches, a retrieval loss, its memory and R@K evaluation."""

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
    """Fine-tune a retrieval model with P x K batches, a contrastive loss with memory and KoLeo, and R@K evaluation.

    With several processes, the batch of a step is that of all processes together. Embeddings are gathered with their
    gradient, each process computes the loss of its own images, and the memories of all processes are equal.

    Args:
        model: A `ViTRetModel`, or one with LoRA adapters.
        args: The settings of the run.
        train_dataset: A data set with the columns `image`, `label` and `image_id`, as `load_retrieval_dataset` returns
            it; or the `CachedFeatures` of a frozen backbone, to train the projection alone; `None` for a trainer that
            only evaluates.
        eval_dataset: A data set with the same columns, in which each image is a query and searches the others
            (leave-one-out); or a mapping with the data sets `query` and `gallery`, or `test`; `None` for no evaluation.
        loss: A loss with the signature of `RetrievalLoss`, or a module that is called with `(embeddings, labels)` and
            returns a scalar, such as those of pytorch-metric-learning. It is the whole objective: `koleo_weight` and
            the memory of `args` do not apply to it. Labels are classes from 0 to their number - 1. `None` builds the
            objective of `args`, whose `loss` can also name a class of one's own (see `build_loss`).
        **kwargs: Further arguments of `transformers.Trainer`, such as `callbacks`.

    Raises:
        ValueError: Columns are missing, the data set has too few classes for a batch, the memory is smaller than one
            batch, or the loss that `args` names cannot be built. This is checked before training starts.
        ImportError: The module of the loss that `args` names cannot be imported.
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
        # The loss is a mean over anchors, so that Trainer has to divide it by the accumulation steps, once.
        self.loss_is_scaled_for_ga = False
        self.sampler: EpochSampler | None = None
        self.training_set: TrainingSet | None = None
        self._starts_proxies = loss is None  # the proxies of a given loss are left as they are
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
        self.eval_embeddings: ShardedEmbeddings  # of the last evaluation, to draw its neighbours
        self._log = LossLog()
        self._data_wait = DataWait()
        self._guard = FiniteGuard(self._image_ids, self.last_checkpoint)
        self._cached: CachedBatch | None = None
        # The first callback, so that the others see the averaged gradients.
        self.callback_handler.callbacks.insert(0, StepHooks(self))

    def _build_sampler(self, training_set: TrainingSet, args: RetrievalTrainingArguments) -> EpochSampler:
        """Build the sampler of the batches; called before the constructor of Trainer."""
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
        """Build the loader of the training batches, which seeds its workers from a generator of its own.

        By default the seeds are drawn from the random numbers of the run whenever workers start. A resumed run starts
        its workers once more than a run that was never stopped, and its dropout would then differ.
        """
        loader: DataLoader[Any] = super().get_train_dataloader()
        own = torch.Generator().manual_seed(self.args.order_seed)
        for each in (loader, getattr(loader, "base_dataloader", loader)):  # accelerate's loader and the one inside it
            each.generator = own
        return loader

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        """Build the optimizer, with learning rates by depth (`layer_decay`) and one for the weights of the loss.

        Args:
            model: The model to optimise; `None` takes that of the trainer.

        Returns:
            The optimizer.

        Raises:
            ValueError: The loss has weights, and FSDP shards the model.
        """
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
                "expected a loss without weights under FSDP, which does not shard them; got "
                f"{type(self.loss).__name__} with weights. Train without sharding (recipes/accelerate/multi_gpu.yaml), "
                "or with a loss without weights"
            )
        if is_new and own:
            optimizer.add_param_group({"params": own, "lr": self.args.loss_learning_rate, "weight_decay": 0.0})
        return optimizer

    def start_proxies(self) -> None:
        """Set the proxies of the loss that `args` names, if it has any, to the mean embedding of each class."""
        start_at = getattr(getattr(self.loss, "pair_loss", None), "start_at", None)
        if self._starts_proxies and start_at is not None and self.training_set is not None:
            start_at(mean_embeddings(self.model, self.training_set, self.args))

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """Train, or resume from a complete checkpoint; see `transformers.Trainer.train`.

        Args:
            *args: Arguments of `transformers.Trainer.train`, the first of which is `resume_from_checkpoint`: the folder
                of a checkpoint, or `True` for the newest complete one of the output folder.
            **kwargs: The same arguments by name.

        Returns:
            The `TrainOutput` of transformers: steps, mean loss and metrics.

        Raises:
            FileNotFoundError: The checkpoint does not exist or is incomplete.
            ValueError: The checkpoint is of a run with another loss or memory.
            FloatingPointError: The loss of a step is NaN or infinite.
        """
        followers = [] if self.momentum_encoder is None else [self.momentum_encoder.encoder]
        with class_token_only(self.model, *followers):
            return super().train(*args, **kwargs)

    def get_batch_samples(self, *args: Any, **kwargs: Any) -> Any:
        """Read the batches of a step and time it; see `transformers.Trainer.get_batch_samples`."""
        with self._data_wait.of_batch():
            return super().get_batch_samples(*args, **kwargs)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: torch.Tensor | int | None = None
    ) -> torch.Tensor:
        """Run the forward and backward pass of one batch; see `transformers.Trainer.training_step`.

        Args:
            model: The wrapped model.
            inputs: The batch: `pixel_values` or `pooled`, `labels` and `rows`.
            num_items_in_batch: Not used by the loss; part of Trainer's signature.

        Returns:
            The loss of the batch, a scalar without gradient.

        Raises:
            FloatingPointError: The loss of the batch before is NaN or infinite.
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
        """Embed a batch and compute its loss; see `transformers.Trainer.compute_loss`.

        Args:
            model: The wrapped model.
            inputs: The batch: `pixel_values` or `pooled`, `labels` and `rows`.
            return_outputs: Whether to return the output of the model too.
            num_items_in_batch: Not used; part of Trainer's signature.

        Returns:
            The loss, a scalar; with `return_outputs` the pair of loss and output.

        Raises:
            ValueError: The trainer has no loss.
        """
        if self.loss is None:
            raise ValueError(
                "expected a train_dataset or a loss to train with; got neither. Pass one of them to the constructor"
            )
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
        """Log values, and add the mean of each named term of the loss since the last line, over all processes.

        A line with a training loss also gets `data_wait`: the share of this process's time since the last line that was
        spent waiting for batches.

        Args:
            logs: The values to log, by name.
            start_time: Start of the run, as Trainer passes it.

        Raises:
            FloatingPointError: The loss of the last batch is NaN or infinite.
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
        """Measure the norm of the gradient only at steps that are logged, because it costs a pass over all weights."""
        is_logged = (self.state.global_step + 1) % max(1, int(self.state.logging_steps)) == 0
        measured = grad_norm is not None or is_logged
        return super()._get_grad_norm(model, grad_norm) if measured else None  # type: ignore[no-untyped-call]

    def _write_checkpoint(self, folder: Path) -> None:
        self._guard.check()  # so that no checkpoint holds weights updated with a loss that is not finite
        super()._write_checkpoint(folder)

    def extra_state(self) -> dict[str, torch.Tensor]:
        """Return the state of the loss (with its memory) and of the momentum encoder, and the losses not yet logged."""
        sums = {name: total.to(self.args.device).reshape(1) for name, total in self._log.state_dict().items()}
        if self.args.world_size > 1:
            sums = {name: gather_rows(total) for name, total in sums.items()}  # (world,) each
        return module_states(self._stateful()) | {LOG_PREFIX + name: total for name, total in sums.items()}

    def load_extra_state(self, state: dict[str, torch.Tensor], path: Path) -> None:
        """Restore the loss, the momentum encoder and the sums of the log from a checkpoint.

        Args:
            state: The tensors of the checkpoint by name; the sums are removed from it.
            path: The file that they were read from, for error messages.

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
        """Embed the evaluation set, a share on each process, and score it by exact search.

        Args:
            eval_dataset: A data set with the columns `image`, `label` and `image_id`, in which each image is a query
                and searches the others (leave-one-out); or a mapping with the data sets `query` and `gallery`, or
                `test`; `None` takes that of the constructor.
            ignore_keys: Not used; part of Trainer's signature.
            metric_key_prefix: Prefix of the name of each metric, before an underscore.

        Returns:
            The metrics of `retrieval_metrics` and the speed, by prefixed name.

        Raises:
            ValueError: There is no evaluation set, here or in the constructor.
            FloatingPointError: The loss of the last batch is NaN or infinite.
        """
        self._guard.check()
        evaluator = self.evaluator if eval_dataset is None else self._build_evaluator(eval_dataset)
        if evaluator is None:
            raise ValueError("expected an eval_dataset; got none. Pass one to evaluate or to the constructor")
        start = time.time()
        self.eval_embeddings = embed_shares(self.model, evaluator, self.args.device)
        scores = self.eval_embeddings.metrics()
        metrics: dict[str, float] = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        num_samples = len(evaluator.query) + (0 if evaluator.gallery is None else len(evaluator.gallery))
        metrics |= speed_metrics(metric_key_prefix, start, num_samples)  # type: ignore[no-untyped-call]
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics
