"""Convert the published ground truth of landmark data sets from pickles to JSON.

  hf-vitret convert roxford5k --data_dir data/test/roxford5k
  hf-vitret convert rparis6k --data_dir data/test/rparis6k
  hf-vitret convert sfm120k --data_dir data/train/retrieval-SfM-120k

The pickles are read without running any code in them. The JSON files are written beside them, and used from then on.
Exit status: 0 if the files are written, 2 for bad input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..output import add_output_options, labelled, output_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        "dataset",
        metavar="DATASET",
        help="sfm120k, roxford5k, rparis6k, or the name of a set in the format of the latter two",
    )
    parser.add_argument("--data_dir", required=True, help="folder of the pickle; images are not needed")
    add_output_options(parser)


def run(options: Namespace) -> int:
    """Convert the files, and print their paths; return 0."""
    from ...data.landmarks.conversion import convert_ground_truth

    paths = [str(path) for path in convert_ground_truth(options.dataset, options.data_dir)]
    output_of(options).result(labelled(*(("Wrote", path) for path in paths)), {"files": paths})
    return 0
