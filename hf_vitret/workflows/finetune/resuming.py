"""The checkpoint that a run continues from: a given folder, the newest of the output folder, or that on the Hub."""

from pathlib import Path
from typing import Any

from accelerate import PartialState
from accelerate.utils import broadcast_object_list

from ...training.checkpoints.checkpoint_contents import check_whole, checkpoint_to_resume, newest_whole_checkpoint
from ...training.checkpoints.hub_checkpoint import fetch_checkpoint
from ...training.trainer import RetrievalTrainer
from ...training.training_args import RetrievalTrainingArguments

NEWEST = ("true", "last")


def local_checkpoint(args: RetrievalTrainingArguments) -> str | None:
    """Find the checkpoint of `--resume_from_checkpoint`: a folder, or `true` for the newest of the output folder.

    Args:
        args: Settings of the run.

    Returns:
        The folder of the checkpoint; `None` if the run starts anew, or if `hub_checkpoint` has to fetch it.

    Raises:
        FileNotFoundError: There is no checkpoint, or it is incomplete.
    """
    wanted = args.resume_from_checkpoint
    if wanted is None or wanted.lower() == "false":
        return None
    if wanted.lower() not in NEWEST:
        check_whole(Path(wanted))
        return wanted
    parent = Path(str(args.output_dir))
    if args.push_to_hub and newest_whole_checkpoint(parent) is None:
        return None
    return str(checkpoint_to_resume(parent))


def hub_checkpoint(trainer: RetrievalTrainer) -> str | None:
    """Fetch the newest checkpoint that a run has pushed to the Hub, for a run that continues from it.

    The main process fetches it, and the others wait.

    Args:
        trainer: The trainer of the run.

    Returns:
        The folder of the checkpoint in the output folder; `None` if the run does not continue from the Hub.

    Raises:
        FileNotFoundError: The repository has no checkpoint.
        OSError: The Hub cannot be reached, or the token may not read the repository.
    """
    args, state = trainer.args, PartialState()
    if not args.push_to_hub or str(args.resume_from_checkpoint).lower() not in NEWEST:
        return None
    found: list[Any] = [None]
    if state.is_main_process:
        repo_id, output_dir = str(trainer.hub_model_id), str(args.output_dir)
        state.print(f"No checkpoint in {output_dir}: fetching that of {repo_id} on the Hub ...")
        found = [str(fetch_checkpoint(repo_id, output_dir, revision=args.hub_revision, token=args.hub_token))]
    broadcast_object_list(found)
    return str(found[0])
