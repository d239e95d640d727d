"""The release of a finished run on the Hub. A failure is reported and does not lose the run."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from ...hub.publish_checkpoint import publish_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ...training.trainer import RetrievalTrainer


def publish_run(folder: Path, trainer: RetrievalTrainer, say: Callable[[str], None] = print) -> bool:
    """Publish the folder of a finished run as a release on the Hub, and print its address.

    A failure raises no error, because the training is done and the folder is whole. It is reported on standard error
    with the command that publishes the folder later.

    Args:
        folder: Folder with the checkpoint, its card and results.
        trainer: The trainer of the run; its arguments name the repository.
        say: Prints a line.

    Returns:
        Whether the folder is published.
    """
    args, repo_id = trainer.args, str(trainer.hub_model_id)
    is_private = args.hub_private_repo is not False
    try:
        made = publish_checkpoint(folder, repo_id, private=is_private, token=args.hub_token)
    except Exception as error:  # any error: see above
        command = shlex.join(["hf-vitret", "publish", str(folder), repo_id, *([] if is_private else ["--no-private"])])
        reason = str(error).replace(args.hub_token, "***") if args.hub_token else str(error)
        sys.stderr.write(
            f"NOT PUBLISHED: {type(error).__name__}: {reason}; the checkpoint is whole in {folder}: {command}\n"
        )
        return False
    say(f"Published    {made.url}\nLoad         {made.snippet}")
    return True
