"""Upload a checkpoint to the Hub with its card, pictures, results and exports: one commit, one tag.

  hf-vitret publish outputs/cub/final user/birds
  hf-vitret publish outputs/cub/final user/birds --tag 2026-11 --no-private
  hf-vitret publish outputs/cub/final --dry_run

It is private, unless --no-private is given. The same command goes on with what an interrupted one left, and leaves
alone what is there already. What hf-vitret export wrote is uploaded too, except a Space. Optimizer state, checkpoints
of the run, tokens and paths of this machine stay here. --dry_run checks the files, lists them, and asks the Hub
nothing.
Exit status: 0 where it is published, 2 for bad input.
"""

from __future__ import annotations

from argparse import BooleanOptionalAction
from dataclasses import asdict
from typing import TYPE_CHECKING

from ..options.sizes import rounded_size
from ..output import add_output_options, labelled, output_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "checkpoint", metavar="CHECKPOINT", help="folder that hf-vitret train wrote: <output_dir>/final"
    )
    parser.add_argument(
        "repository", metavar="USER/NAME", nargs="?", help="repository on the Hub; created if it does not exist"
    )
    parser.add_argument("--private", action=BooleanOptionalAction, default=True, help="whether only its owner sees it")
    parser.add_argument("--tag", help="name of the release; default: the next of v1, v2, ...")
    parser.add_argument("--dry_run", action="store_true", help="list what would be uploaded, and upload nothing")
    add_output_options(parser)


def run(options: Namespace) -> int:
    """Publish, or list what would be; return 0."""
    from ...hub.publish_checkpoint import plan_release, publish_checkpoint
    from ...inference.find_checkpoint import find_checkpoint

    output = output_of(options)
    checkpoint = find_checkpoint(options.checkpoint)
    if options.dry_run:
        files = plan_release(checkpoint)
        lines = [("Dry run", f"{len(files)} files, {rounded_size(sum(files.values()))}, of {checkpoint}")]
        lines += [("", f"{rounded_size(num_bytes):>9}  {path}") for path, num_bytes in files.items()]
        output.result(labelled(*lines), {"checkpoint": checkpoint, "files": files, "num_bytes": sum(files.values())})
        output.note("Then", "the same command with USER/NAME, the repository on the Hub, in place of --dry_run")
        return 0
    if options.repository is None:
        raise ValueError("expected the repository on the Hub, USER/NAME, or --dry_run to see what would be uploaded")
    made = publish_checkpoint(checkpoint, options.repository, private=options.private, tag=options.tag)
    text = labelled(("Published", made.url), ("Commit", made.commit), ("Load", made.snippet))
    output.result(text, {**asdict(made), "load": made.snippet})
    return 0


def interruption(options: Namespace) -> str:
    """Say what an interrupted upload leaves."""
    return "nothing of this release can be seen on the Hub; the same command goes on with what was uploaded"
