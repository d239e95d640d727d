"""The end of a run that pushes to the Hub: its checkpoint as a release, and no hours lost where that fails."""

import shlex
import sys
from pathlib import Path

from ...hub.publish_checkpoint import publish_checkpoint
from ...training.trainer import RetrievalTrainer


def publish_run(folder: Path, trainer: RetrievalTrainer) -> None:
    """Publish the folder that a run has written, and say where it is, or that it is not there and what to do.

    Args:
        folder: With the checkpoint, its card and results.
        trainer: Of the run, whose arguments name the repository.
    """
    args, repo_id = trainer.args, str(trainer.hub_model_id)
    is_private = args.hub_private_repo is not False
    try:
        made = publish_checkpoint(folder, repo_id, private=is_private, token=args.hub_token)
    except Exception as error:  # whatever it is: the training is done, and its result is whole
        command = shlex.join(["hf-vitret", "publish", str(folder), repo_id, *([] if is_private else ["--no-private"])])
        reason = str(error).replace(args.hub_token, "***") if args.hub_token else str(error)
        print(  # noqa: T201 (a recipe's result is for the screen)
            f"NOT PUBLISHED: {type(error).__name__}: {reason}; the checkpoint is whole in {folder}: {command}",
            file=sys.stderr,
        )
        return
    print(f"Published    {made.url}\nLoad         {made.snippet}")  # noqa: T201
