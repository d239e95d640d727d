"""Hugging Face's Trainer with the retrieval loss, its memory, and retrieval evaluation."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel, Trainer
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, rotate_checkpoints, speed_metrics

from ..data.schema import COLUMNS, column_values
from ..evaluation.evaluator import RetrievalEvaluator
from ..losses.retrieval import RetrievalLoss
from .checkpointing import begin_folder, commit_folder, partial_folder, remove_partial_folders
from .distributed import gather_batch, gather_rows
from .sampler import ClassBalancedSampler
from .training_args import RetrievalTrainingArguments
from .transforms import TrainTransform, collate

if TYPE_CHECKING:
    from datasets import Dataset

TRAINER_STATE_NAME = "trainer_state.json"  # transformers' own name for it
LOSS_STATE_NAME = "loss_state.safetensors"


class RetrievalTrainer(Trainer):
    """Fine-tune a retrieval model: P x K batches, contrastive loss with memory and KoLeo, R@K evaluation.

    Under several processes the batch of a step is that of all processes together: embeddings are gathered with their
    gradient, each process computes the loss of its own rows, and the memories of all processes hold the same.

    Args:
        model: A `ViTRetModel`.
        args: Settings of the run.
        train_dataset: Columns `image`, `label`, `image_id`, as `load_retrieval_dataset` gives them.
        eval_dataset: The same columns (leave-one-out), or a mapping with `query` and `gallery`, or `test`.
        loss: A loss with the signature of `RetrievalLoss`; `None` builds that from `args`, with a memory as large as
            the training set unless `args.memory_size` says otherwise.
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
        train_dataset: "Dataset | None" = None,
        eval_dataset: "Dataset | Mapping[str, Dataset] | None" = None,
        loss: nn.Module | None = None,
        **kwargs: Any,
    ) -> None:
        # The loss is ours and a mean over anchors: Trainer divides it by the accumulation steps, once.
        self.loss_is_scaled_for_ga = False
        self.sampler: ClassBalancedSampler | None = None
        if train_dataset is not None:
            missing = [name for name in COLUMNS[:2] if name not in train_dataset.column_names]
            if missing:
                raise ValueError(
                    f"expected a training set with the columns {', '.join(COLUMNS)}; got "
                    f"{', '.join(train_dataset.column_names)}. load_retrieval_dataset gives them"
                )
            labels = column_values(train_dataset, "label")
            global_batch = args.train_batch_size * args.world_size
            self.sampler = ClassBalancedSampler(
                labels, global_batch, args.images_per_class, args.seed if args.data_seed is None else args.data_seed
            )
            if loss is None:
                memory_size = len(train_dataset) if args.memory_size is None else args.memory_size
                if 0 < memory_size < global_batch:
                    raise ValueError(
                        f"memory_size must be 0 (no memory) or at least the images of one step ({global_batch}); "
                        f"got {memory_size}"
                    )
                loss = RetrievalLoss(
                    margin=args.margin,
                    koleo_weight=args.koleo_weight,
                    memory_size=memory_size,
                    embedding_dim=model.config.output_dim,
                    memory_weight=args.memory_weight,
                    koleo_neighbors=args.koleo_neighbors,  # type: ignore[arg-type]  # KoLeoLoss checks it
                )
            config = model.config
            train_dataset = train_dataset.with_transform(
                TrainTransform(
                    args.augmentation,
                    image_size=config.image_size,
                    resize_size=config.resize_size,
                    resize_mode=config.resize_mode,
                    flip=args.flip,
                )
            )
        kwargs.setdefault("data_collator", collate)
        super().__init__(model=model, args=args, train_dataset=train_dataset, eval_dataset=eval_dataset, **kwargs)
        self.loss = None if loss is None else loss.to(args.device)
        self.evaluator = None if eval_dataset is None else self._build_evaluator(eval_dataset)
        # Of the newest evaluation: queries (Q, dim) and gallery (N, dim) or None. For pictures and reports.
        self.eval_embeddings: tuple[torch.Tensor, torch.Tensor | None]
        self._term_sums: dict[str, torch.Tensor] = {}
        self._num_terms = 0
        if args.should_save:
            remove_partial_folders(Path(args.output_dir or "."))

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """The type of mixed precision, for embedding; `None` for full precision."""
        return torch.bfloat16 if self.args.bf16 else torch.float16 if self.args.fp16 else None

    def _build_evaluator(self, eval_dataset: "Dataset | Mapping[str, Dataset]") -> RetrievalEvaluator:
        return RetrievalEvaluator(
            eval_dataset,
            batch_size=self.args.per_device_eval_batch_size,
            num_workers=self.args.dataloader_num_workers,
            dtype=self.autocast_dtype,
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> ClassBalancedSampler | None:
        return self.sampler

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
        outputs = model(inputs["pixel_values"])
        embeddings, labels = outputs.embeddings, inputs["labels"]  # (B, D), (B,)
        self.loss.train(model.training)
        if self.args.world_size > 1:
            ref_embeddings, ref_labels, self_index = gather_batch(embeddings, labels)
            terms = self.loss(embeddings, labels, ref_embeddings, ref_labels, self_index=self_index)
        else:
            terms = self.loss(embeddings, labels)
        for name, value in terms.items():
            if name != "loss":
                self._term_sums[name] = self._term_sums.get(name, 0) + value.detach()
        self._num_terms += 1
        return (terms["loss"], outputs) if return_outputs else terms["loss"]

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, and with each training loss its named terms, averaged since the last time over all processes."""
        if "loss" in logs and self._num_terms:
            for name, total in self._term_sums.items():
                mean = self.accelerator.reduce(total / self._num_terms, reduction="mean")
                logs[name] = mean.item()
            self._term_sums, self._num_terms = {}, 0
        super().log(logs, start_time)

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
        evaluator = self.evaluator if eval_dataset is None else self._build_evaluator(eval_dataset)
        if evaluator is None:
            raise ValueError("expected an eval_dataset, here or in the constructor; got none")
        start = time.time()
        embedded = [self._embed(evaluator, part) for part in (evaluator.query, evaluator.gallery) if part is not None]
        self.eval_embeddings = (embedded[0], embedded[1] if len(embedded) == 2 else None)
        scores = evaluator.score(*self.eval_embeddings)
        metrics: dict[str, float] = {f"{metric_key_prefix}_{name}": value for name, value in scores.items()}
        num_samples = sum(map(len, embedded))
        metrics |= speed_metrics(metric_key_prefix, start, num_samples)  # type: ignore[no-untyped-call]
        self.log(metrics)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _embed(self, evaluator: RetrievalEvaluator, dataset: "Dataset") -> torch.Tensor:
        """Embed a data set over all processes; every process gets the whole table `(N, dim)`."""
        world, rank, total = self.args.world_size, self.args.process_index, len(dataset)
        if world == 1:
            return evaluator.embed(self.model, dataset)
        # Equally many rows on each rank, as sharded models and gathering need: the last ones may stand twice.
        share = math.ceil(total / world)
        rows = [(rank * share + row) % total for row in range(share)]
        embeddings = evaluator.embed(self.model, dataset.select(rows)).to(self.args.device)
        return gather_rows(embeddings)[:total].cpu()

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint aside and rename it when it is whole, so that a kill leaves the last good one."""
        self.store_flos()
        run_dir = Path(self._get_output_dir(trial=trial))
        name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
        best = run_dir / f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}"
        if self.state.best_global_step and (best.name == name or best.exists()):
            self.state.best_model_checkpoint = str(best)
        target = run_dir / name
        if self.args.should_save:
            begin_folder(target)
        self.accelerator.wait_for_everyone()
        self._write_checkpoint(partial_folder(target))
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            commit_folder(target)
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(target))
        if self.args.should_save:
            rotate_checkpoints(
                str(run_dir), self.args.save_total_limit, self.state.best_model_checkpoint, use_mtime=True
            )

    def _write_checkpoint(self, folder: Path) -> None:
        """Write model, optimizer, schedule, scaler, random states, loss state and Trainer's own state."""
        self.save_model(str(folder), _internal_call=True)
        if not self.args.save_only_model:
            self._save_optimizer_and_scheduler(str(folder))
            self._save_scaler(str(folder))
            self._save_rng_state(str(folder))
        if not self.args.should_save:
            return
        if self.loss is not None and not self.args.save_only_model:
            state = {name: tensor.contiguous() for name, tensor in self.loss.state_dict().items()}
            save_file(state, folder / LOSS_STATE_NAME)
        states: dict[str, Any] = self.state.stateful_callbacks  # type: ignore[assignment]  # a dict since its init
        for callback in [*self.callback_handler.callbacks, self.control]:
            if isinstance(callback, ExportableState):
                name = type(callback).__name__
                if isinstance(states.get(name), list):  # several callbacks of one class
                    states[name].append(callback.state())
                else:
                    states[name] = callback.state()
        self.state.save_to_json(str(folder / TRAINER_STATE_NAME))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Restore the weights through `from_pretrained`; see `_load_weights`."""
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            self._load_weights(resume_from_checkpoint)

    def _load_best_model(self) -> None:
        """Restore the weights of the best evaluation through `from_pretrained`; see `_load_weights`."""
        if self.is_fsdp_enabled or self.is_deepspeed_enabled:
            super()._load_best_model()
        else:
            self._load_weights(str(self.state.best_model_checkpoint))

    def _load_weights(self, checkpoint: str) -> None:
        """Load a checkpoint's weights into the model, every one of them.

        transformers saves some backbones under other names than the modules bear (DINOv2: `attention.query` for
        `q_proj`) and maps them back in `from_pretrained` alone. Its Trainer reads the file as it stands and leaves
        out what does not fit, with no more than a warning.
        """
        loaded = type(self.model).from_pretrained(checkpoint, dtype=self.model.dtype)
        self.model.load_state_dict(loaded.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Restore the loss state (the memory) beside the optimizer's."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None or self.loss is None:
            return
        path = Path(checkpoint) / LOSS_STATE_NAME
        state = load_file(path) if path.exists() else {}
        if state.keys() != self.loss.state_dict().keys():
            raise ValueError(
                f"expected the loss state {sorted(self.loss.state_dict())} in {path}; got {sorted(state)}: resume with "
                "the loss that the run began with, or start a new run from the checkpoint's weights"
            )
        self.loss.load_state_dict(state)
