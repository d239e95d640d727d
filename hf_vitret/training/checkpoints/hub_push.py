"""A run that pushes its checkpoints to the Hub as it goes.

What transformers' own Trainer would push is a pickle with the token in it (`training_args.bin`), a card of its own and
whatever else lies in the output folder; and its repositories are public unless one asks for another thing.
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
    """Trainer whose pushes are one commit each, private by default, and never the end of a run.

    `hub_strategy` is transformers': `"end"` pushes nothing while it trains, `"every_save"` the model, `"checkpoint"`
    beside it `last-checkpoint/`, `"all_checkpoints"` every `checkpoint-N/`, which `fetch_checkpoint` reads. A push that
    fails is logged, told again at the end of training, and made up for by the next one.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._pushes: list[tuple[str, Future[CommitInfo]]] = []
        self._passed_over: str | None = None  # the newest checkpoint, where another was on its way
        super().__init__(*args, **kwargs)

    def init_hf_repo(self, token: str | None = None, private: bool | None = None) -> None:
        """Make the repository, private unless `hub_private_repo` is false; see `transformers.Trainer.init_hf_repo`.

        Raises:
            ValueError: There is no token, or the repository is there and is not as private as was asked for.
            OSError: The Hub refuses it; before training starts.
        """
        if self.is_world_process_zero() and (token or self.args.hub_token or get_token()) is None:
            raise ValueError(
                "push_to_hub needs a token that may write (https://huggingface.co/settings/tokens): run hf auth login, "
                "or set HF_TOKEN, or leave push_to_hub out"
            )
        asked = (self.args.hub_private_repo if private is None else private) is not False
        super().init_hf_repo(token, asked)  # type: ignore[no-untyped-call,unused-ignore]
        if not self.is_world_process_zero():
            return
        is_private = HfApi(token=token or self.args.hub_token).repo_info(str(self.hub_model_id)).private
        if bool(is_private) != asked:
            there, wanted = ("private", "public") if is_private else ("public", "private")
            raise ValueError(
                f"{self.hub_model_id} is there and is {there}; {wanted} was asked for. Set hub_private_repo to "
                f"{is_private}, change it on the Hub, or name another hub_model_id"
            )

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save the model, and push nothing: see `transformers.Trainer.save_model`."""
        super().save_model(output_dir, _internal_call=True)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        """Save the model without the settings of the run: a pickle, with the token in it, that nobody reads."""
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
        """Push the model as it is now, and the output folder's card if it has one; called on every process.

        Args:
            commit_message: Title of the commit.
            blocking: Whether to wait until it is there.
            token: A token of the Hub; default: that of the arguments, or of `hf auth login`.
            revision: Branch; default: `hub_revision` of the arguments, or main.
            private: As for `init_hf_repo`.
            **kwargs: Not used; part of Trainer's signature.

        Returns:
            The commit, or its future; None on all processes but the first.
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
        """Push a checkpoint in the background, from links to its files: the run may remove it meanwhile."""
        if not self.is_world_process_zero() or self.args.hub_strategy == HubStrategy.END:
            return
        is_pushing = bool(self._pushes) and not self._pushes[-1][1].done()
        self._passed_over = checkpoint_folder if is_pushing and not self.args.hub_always_push else None
        if self._passed_over:
            return
        checkpoint = Path(checkpoint_folder)
        copy = self._begin_push(checkpoint.name)
        shutil.copytree(checkpoint, copy, copy_function=_link, dirs_exist_ok=True)
        forget_paths(copy)
        places = {HubStrategy.CHECKPOINT: LAST_CHECKPOINT, HubStrategy.ALL_CHECKPOINTS: checkpoint.name}
        place = places.get(HubStrategy(self.args.hub_strategy))
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self._start_push(copy, f"Training in progress, step {self.state.global_step}", place)

    def _begin_push(self, name: str) -> Path:
        """Make the folder that a push is made from, which the next start of the run clears away if this one dies."""
        folder = Path(str(self.args.output_dir)) / f"{PARTIAL_PREFIX}push-{name}"
        if self.is_world_process_zero():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
        return folder

    def _start_push(
        self, folder: Path, message: str, place: str | None, token: str | None = None, revision: str | None = None
    ) -> "Future[CommitInfo]":
        hub = HfApi(token=token or self.args.hub_token, library_name="hf_vitret")
        job = hub.run_as_future(
            _push, hub, str(self.hub_model_id), folder, message, place, revision or self.args.hub_revision
        )
        self._pushes.append((message, job))
        return job

    def _finish_current_push(self) -> None:
        """Wait for the pushes, and tell of those that failed."""
        for _, job in self._pushes:
            job.exception()
        if self._passed_over and Path(self._passed_over).is_dir():
            self._push_from_checkpoint(self._passed_over)
        for title, job in self._pushes:
            if (error := job.exception()) is not None:
                logger.error(
                    "a push to %s failed (%s): %s: %s. The run and its checkpoints in %s are whole",
                    *(self.hub_model_id, title, type(error).__name__, error, self.args.output_dir),
                )
        if self._pushes and self._pushes[-1][1].exception() is not None:
            logger.error(
                "%s on the Hub is NOT what this run has ended with: push again, with hf-vitret publish or "
                "trainer.push_to_hub()",
                self.hub_model_id,
            )
        self._pushes.clear()


def _push(hub: HfApi, repo_id: str, folder: Path, message: str, place: str | None, revision: str | None) -> CommitInfo:
    """Commit the model of a folder to the top of a repository, and the whole folder to a place in it."""
    paths = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    model = {name: path for name, path in paths.items() if not is_run_state(name)}
    whole = {} if place is None else {f"{place}/{name}": path for name, path in paths.items()}
    additions = [CommitOperationAdd(name, path) for name, path in {**model, **whole}.items()]
    try:
        return hub.create_commit(repo_id, additions, commit_message=message, revision=revision)
    except Exception as error:
        logger.warning("a push to %s failed, training goes on: %s", repo_id, error)
        raise
    finally:
        shutil.rmtree(folder)


def _link(source: str, target: str) -> str:
    """Link a file, or copy it where the disk has no links."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target
