"""Which checkpoint a run goes on from: a folder, the newest of its output folder, or the newest on the Hub."""

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
    """Read `--resume_from_checkpoint`: a folder, or `true` for the newest checkpoint of the output folder.

    Returns:
        The checkpoint; None where none is asked for, or where `hub_checkpoint` is to look for it on the Hub.

    Raises:
        FileNotFoundError: There is none, or it was cut off on its way.
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
    """Fetch the newest checkpoint that a run has pushed, where it wants one; on the main process, the others wait.

    Returns:
        The checkpoint, in the output folder; None where none is asked for.

    Raises:
        FileNotFoundError: There is none on the Hub.
        OSError: The Hub cannot be reached, or does not let this token read.
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
