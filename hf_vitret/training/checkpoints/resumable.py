"""Hugging Face's Trainer with complete checkpoints, from which a resumed run ends like one that never stopped."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import PreTrainedModel
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ...files.atomic_folders import begin_folder, commit_folder, remove_folder, remove_partials
from ...files.atomic_writes import partial_path
from ...files.run_state import LOSS_STATE_NAME, TRAINER_STATE_NAME
from .checkpoint_contents import (
    check_whole,
    checkpoint_to_resume,
    checkpoints,
    newest_whole_checkpoint,
    write_contents,
)
from .hub_push import HubPushTrainer
from .sharded_weights import plain_model


class ResumableTrainer(HubPushTrainer):
    """Trainer whose resumed run ends like one that was never stopped.

    A checkpoint is written aside and renamed when it is complete. A subclass saves and loads further state with
    `extra_state` and `load_extra_state`.
    """

    model: PreTrainedModel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.args.should_save:
            remove_partials(Path(self.args.output_dir or "."))

    def extra_state(self) -> dict[str, torch.Tensor]:
        """Return the tensors that a resumed run needs besides model, optimizer and Trainer's own state.

        It is called on every process; the main process saves what it returns.
        """
        return {}

    def load_extra_state(self, state: dict[str, torch.Tensor], path: Path) -> None:
        """Restore the state that `extra_state` returned.

        Args:
            state: The tensors by name; empty if the checkpoint has none.
            path: The file that they were read from, for error messages.
        """

    def last_checkpoint(self) -> str | None:
        """Return the folder of this run's newest complete checkpoint; `None` before the first."""
        found = newest_whole_checkpoint(Path(self.args.output_dir or "."))
        return None if found is None else str(found)

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        """Train from the start or resume from a complete checkpoint; see `transformers.Trainer.train`.

        Args:
            resume_from_checkpoint: The folder of a checkpoint; `True` takes the newest complete one of the output
                folder; `None` or `False` starts a new run.
            *args: Further arguments of `transformers.Trainer.train`.
            **kwargs: Further arguments of `transformers.Trainer.train`.

        Returns:
            The `TrainOutput` of transformers: steps, mean loss and metrics.

        Raises:
            FileNotFoundError: The checkpoint does not exist or is incomplete.
        """
        if resume_from_checkpoint is True:
            resume_from_checkpoint = str(checkpoint_to_resume(Path(self.args.output_dir or ".")))
        if resume_from_checkpoint:
            check_whole(Path(resume_from_checkpoint))
        return super().train(resume_from_checkpoint or None, *args, **kwargs)

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        """Run an epoch, unless the checkpoint is of the last step: Trainer checks for the end only after a step."""
        if self.state.global_step >= self.state.max_steps:
            self.control.should_training_stop = True
            return
        super()._run_epoch(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint aside and rename it when it is complete, so that a killed run keeps the one before it."""
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
        self._write_checkpoint(partial_path(target))
        self.accelerator.wait_for_everyone()
        if self.args.should_save:
            write_contents(partial_path(target))
            commit_folder(target)
        if self.args.push_to_hub:
            self._push_from_checkpoint(str(target))
        if self.args.should_save:
            self._remove_old_checkpoints(run_dir)

    def _write_checkpoint(self, folder: Path) -> None:
        """Write model, optimizer, schedule, scaler, random states, extra state and Trainer's own state."""
        self.save_model(str(folder), _internal_call=True)
        if not self.args.save_only_model:
            self._save_optimizer_and_scheduler(str(folder))
            self._save_scaler(str(folder))
            self._save_rng_state(str(folder))
            extra_state = self.extra_state()
            if self.args.should_save:
                state = {name: tensor.contiguous() for name, tensor in extra_state.items()}
                save_file(state, folder / LOSS_STATE_NAME)
        if not self.args.should_save:
            return
        states: dict[str, Any] = self.state.stateful_callbacks  # type: ignore[assignment]  # a dict since its init
        for callback in [*self.callback_handler.callbacks, self.control]:
            if isinstance(callback, ExportableState):
                name = type(callback).__name__
                if isinstance(states.get(name), list):  # of several callbacks of one class
                    states[name].append(callback.state())
                else:
                    states[name] = callback.state()
        self.state.save_to_json(str(folder / TRAINER_STATE_NAME))

    def _remove_old_checkpoints(self, run_dir: Path) -> None:
        """Keep the newest `save_total_limit` checkpoints and the best one."""
        limit = self.args.save_total_limit
        if limit is None or limit <= 0:
            return
        found = checkpoints(run_dir)
        best = self.state.best_model_checkpoint
        kept = {path.name for path in found[-1:]} | ({Path(best).name} if best else set())
        for path in reversed(found):
            if len(kept) < limit:
                kept.add(path.name)
        for path in found:
            if path.name not in kept:
                remove_folder(path)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, torch.Tensor] | None = None) -> None:
        """Save a sharded model as the unsharded model that it was made from; see `plain_model`."""
        sharded = self.model
        self.model = plain_model(sharded)
        try:
            super()._save(output_dir, state_dict)
        finally:
            self.model = sharded

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """Restore the weights through `from_pretrained`; see `_load_weights`."""
        if self._loads_like_trainer():
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            self._load_weights(resume_from_checkpoint)

    def _load_best_model(self) -> None:
        """Restore the weights of the best evaluation through `from_pretrained`; see `_load_weights`."""
        if self._loads_like_trainer():
            super()._load_best_model()
        else:
            self._load_weights(str(self.state.best_model_checkpoint))

    def _loads_like_trainer(self) -> bool:
        """Return whether the weights are sharded or adapters, which transformers loads correctly."""
        return bool(self.is_fsdp_enabled or self.is_deepspeed_enabled or getattr(self.model, "peft_config", None))

    def _load_weights(self, checkpoint: str) -> None:
        """Load all weights of a checkpoint into the model.

        transformers saves the weights of some backbones under other names than those of the modules (DINOv2:
        `attention.query` for `q_proj`), and only `from_pretrained` maps them back. Its Trainer reads the file without
        that mapping, and leaves out weights whose names do not fit with no more than a warning.
        """
        loaded = type(self.model).from_pretrained(checkpoint, dtype=self.model.dtype)
        self.model.load_state_dict(loaded.state_dict())

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        """Restore the states of optimizer and schedule, and the extra state."""
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is not None:
            path = Path(checkpoint) / LOSS_STATE_NAME
            self.load_extra_state(load_file(path) if path.exists() else {}, path)
