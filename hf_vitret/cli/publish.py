"""Upload a checkpoint to the Hub with its card, pictures, results and exports: one commit, one tag.

  hf-vitret publish outputs/cub/final user/birds
  hf-vitret publish outputs/cub/final user/birds --tag 2026-11 --no-private

It is private, unless --no-private is given. The same command goes on with what an interrupted one left, and leaves
alone what is there already. What hf-vitret export wrote goes along, but for a Space. Optimizer state, checkpoints of
the run, tokens and paths of this machine stay here.
"""

from __future__ import annotations

import json
import sys
from argparse import BooleanOptionalAction
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("checkpoint", help="its folder, as a recipe writes it: <output_dir>/final")
    parser.add_argument("repository", metavar="USER/NAME", help="where to on the Hub; made if it is not there")
    parser.add_argument("--private", action=BooleanOptionalAction, default=True, help="whether only its owner sees it")
    parser.add_argument("--tag", help="name of the release; default: the next of v1, v2, ...")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(options: Namespace) -> int:
    """Publish; return 0."""
    from ..hub.publish_checkpoint import publish_checkpoint

    made = publish_checkpoint(options.checkpoint, options.repository, private=options.private, tag=options.tag)
    if options.json:
        sys.stdout.write(json.dumps({**asdict(made), "load": made.snippet}) + "\n")
        return 0
    sys.stdout.write(f"Published  {made.url}\nCommit     {made.commit}\nLoad       {made.snippet}\n")
    return 0
