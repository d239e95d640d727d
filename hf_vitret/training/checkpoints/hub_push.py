"""A Trainer that pushes its checkpoints to the Hub while it trains.

transformers' own Trainer would push a pickle with the token in it (`training_args.bin`), a model card of its own and
everything else in the output folder, and its repositories are public by default.
"""

import logging
import os
import shutil
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, get_token
from transformers import Trainer
from transformers.trainer_utils import HubStrategy

from ...files.atomic_writes import PARTIAL_PREFIX
from ...files.run_state import ARGUMENTS_NAME, LAST_CHECKPOINT, is_run_state
from .hub_checkpoint import forget_paths

logger = logging.getLogger(__name__)

CARD = "README.md"


class HubPushTrainer(Trainer):
    """Trainer that pushes in single commits to a repository that is private by default, and survives a failed push.

    `hub_strategy` has the values of transformers: `"end"` pushes nothing during training; `"every_save"` pushes the
    model; `"checkpoint"` pushes the model and `last-checkpoint/`; `"all_checkpoints"` pushes the model and every
    `checkpoint-N/`. `fetch_checkpoint` reads the last two. A failed push is logged, when it fails and again at the end
    of training, and the next push contains what it would have pushed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._pushes: list[tuple[str, Future[CommitInfo]]] = []
        self._skipped: str | None = None  # the newest checkpoint, if another push was running when it was saved
        super().__init__(*args, **kwargs)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Create the repository before training starts, private unless `hub_private_repo` is false.

        Args:
            token: A token of the Hub with write access; `None` takes that of the arguments, of `hf auth login` or of
                HF_TOKEN.
            private: Whether the repository is private; `None` takes `hub_private_repo` of the arguments.

        Raises:
            ValueError: There is no token, or the repository exists and is public where a private one is wanted, or the
                reverse.
            OSError: The Hub refuses the request.
        """
        if self.is_world_process_zero() and (token or self.args.hub_token or get_token()) is None:
            raise ValueError(
                "push_to_hub needs a token that may write (https://huggingface.co/settings/tokens); got none. Run hf "
                "auth login, set HF_TOKEN, or leave push_to_hub out"
            )
        asked = (self.args.hub_private_repo if private is None else private) is not False
        super().init_hf_repo(token, asked)  # type: ignore[no-untyped-call,unused-ignore]
        if not self.is_world_process_zero():
            return
        is_private = HfApi(token=token or self.args.hub_token).repo_info(str(self.hub_model_id)).private
        if bool(is_private) != asked:
            found, wanted = ("private", "public") if is_private else ("public", "private")
            raise ValueError(
                f"{self.hub_model_id} is there and is {found}; {wanted} was asked for. Set hub_private_repo to "
                f"{is_private}, change it on the Hub, or name another hub_model_id"
            )

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model to a folder without pushing it; see `transformers.Trainer.save_model`."""
        super().save_model(output_dir, _internal_call=True)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Save the model without `training_args.bin`: a pickle of the settings with the token in it, and never read."""
        token, self.args.hub_token = self.args.hub_token, None
        try:
            super()._save(output_dir, state_dict)
        finally:
            self.args.hub_token = token
        if self.args.should_save:
            (Path(output_dir or str(self.args.output_dir)) / ARGUMENTS_NAME).unlink(missing_ok=True)

    def push_to_hub(  # type: ignore[override,unused-ignore]
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Push the current model, and the model card of the output folder if there is one; call it on every process.

        Args:
            commit_message: Title of the commit.
            blocking: Whether to wait until the push has ended.
            token: A token of the Hub with write access; `None` takes that of the arguments, or of `hf auth login`.
            revision: Branch to push to; `None` takes `hub_revision` of the arguments, or else main.
            private: Whether a new repository is private; `None` takes `hub_private_repo` of the arguments, private by
                default.
            **kwargs: Not used; part of Trainer's signature.

        Returns:
            The commit, or its future if `blocking` is false; `None` on all processes but the first.
        """
        if self.hub_model_id is None:
            self.init_hf_repo(token=token, private=private)
        folder = self._begin_push("model")
        self.save_model(str(folder))
        self.accelerator.wait_for_everyone()
        if not self.is_world_process_zero():
            return None
        card = Path(str(self.args.output_dir)) / CARD
        if card.is_file():
            shutil.copy(card, folder / CARD)
        self._finish_current_push()
        job = self._start_push(folder, commit_message or "End of training", None, token, revision)
        return job.result() if blocking else job

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Push a checkpoint in the background, from links to its files, because the run may delete it meanwhile."""
        if not self.is_world_process_zero() or self.args.hub_strategy == HubStrategy.END:
            return
        is_pushing = bool(self._pushes) and not self._pushes[-1][1].done()
        self._skipped = checkpoint_folder if is_pushing and not self.args.hub_always_push else None
        if self._skipped:
            return
        checkpoint = Path(checkpoint_folder)
        copy = self._begin_push(checkpoint.name)
        shutil.copytree(checkpoint, copy, copy_function=_link, dirs_exist_ok=True)
        forget_paths(copy)
        targets = {HubStrategy.CHECKPOINT: LAST_CHECKPOINT, HubStrategy.ALL_CHECKPOINTS: checkpoint.name}
        target = targets.get(HubStrategy(self.args.hub_strategy))
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self._start_push(copy, f"Training in progress, step {self.state.global_step}", target)

    def _begin_push(self, name: str) -> Path:
        """Create the temporary folder of a push; if the run is killed, its next start deletes the folder."""
        folder = Path(str(self.args.output_dir)) / f"{PARTIAL_PREFIX}push-{name}"
        if self.is_world_process_zero():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        return folder

    def _start_push(
        self, folder: Path, message: str, target: str | None, token: str | None = None, revision: str | None = None
    ) -> "Future[CommitInfo]":
        hub = HfApi(token=token or self.args.hub_token, library_name="hf_vitret")
        job = hub.run_as_future(
            _push, hub, str(self.hub_model_id), folder, message, target, revision or self.args.hub_revision
        )
        self._pushes.append((message, job))
        return job

    def _finish_current_push(self) -> None:
        """Wait for the running pushes, push a skipped checkpoint, and log the pushes that failed."""
        for _, job in self._pushes:
            job.exception()
        if self._skipped and Path(self._skipped).is_dir():
            self._push_from_checkpoint(self._skipped)
        for title, job in self._pushes:
            if (error := job.exception()) is not None:
                logger.error(
                    "a push to %s failed (%s): %s: %s. The run and its checkpoints in %s are complete",
                    *(self.hub_model_id, title, type(error).__name__, error, self.args.output_dir),
                )
        if self._pushes and self._pushes[-1][1].exception() is not None:
            logger.error(
                "%s on the Hub is NOT the model that this run has ended with: push it again, with hf-vitret publish or "
                "trainer.push_to_hub()",
                self.hub_model_id,
            )
        self._pushes.clear()


def _push(hub: HfApi, repo_id: str, folder: Path, message: str, target: str | None, revision: str | None) -> CommitInfo:
    """Commit the model in a folder to the top of a repository, and the whole folder to `target` in it, if any."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    model = {name: path for name, path in paths.items() if not is_run_state(name)}
    whole = {} if target is None else {f"{target}/{name}": path for name, path in paths.items()}
    additions = [CommitOperationAdd(name, path) for name, path in {**model, **whole}.items()]
    try:
        return hub.create_commit(repo_id, additions, commit_message=message, revision=revision)
    except Exception as error:
        logger.warning("a push to %s failed, training goes on: %s", repo_id, error)
        raise
    finally:
        shutil.rmtree(folder)


def _link(source: str, target: str) -> str:
    """Link a file, or copy it if the file system has no hard links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target
