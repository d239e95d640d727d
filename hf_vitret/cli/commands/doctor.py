"""Examine a data set before training on it: broken files, duplicates, leakage, wrong labels.

  hf-vitret doctor photos
  hf-vitret doctor sop --data_dir Stanford_Online_Products
  hf-vitret doctor products.csv --image_column file --label_column sku --model outputs/products/final

Prints a table, and writes doctor.json, with every finding, and doctor.html, one page with the pictures side by side.
Exit status: 0 where nothing is found that matters (--fail_on), 1 where something is, 2 for bad input.
"""

from __future__ import annotations

import inspect
import shlex
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..options.data_options import ChosenData, add_data_options, choose_data, data_arguments
from ..options.model_options import add_model_options, model_settings
from ..output import add_output_options, labelled, output_of
from ..progress import hide_loading

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

# The fields of `Settings`; those of the second group need a model.
LIMITS = {
    "max_megapixels": "millions of pixels; an image with more is giant",
    "min_side": "pixels; an image with a shorter side is tiny",
    "max_distance": "most bits, of 64, in which the hashes of near duplicates differ",
    "min_correlation": "lowest correlation of the thumbnails of near duplicates",
}
MODEL_LIMITS = {
    "min_cosine": "with --model: lowest cosine of the embeddings of duplicates",
    "num_neighbors": "with --model: nearest images that vote on the class of each image",
}
FAIL_ON = "warning"  # by default: notes are about images that the package handles


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ...workflows.doctor.kinds import SEVERITIES
    from ...workflows.doctor.settings import Settings

    add_data_options(parser)
    model = add_model_options(
        parser, help="checkpoint or backbone: also look for images with nearly equal embeddings, and for wrong labels"
    )
    model.add_argument("-b", "--batch_size", type=int, help="with --model: images embedded at once; default: 64")
    run = parser.add_argument_group("run")
    run.add_argument(
        "-o", "--output_dir", default="outputs/doctor", help="where doctor.json and doctor.html are written"
    )
    run.add_argument("--num_threads", type=int, help="threads that read images; default: one per CPU, 16 at most")
    run.add_argument(
        "--fail_on", choices=SEVERITIES, default=FAIL_ON, help="least severity that makes the exit status 1"
    )
    limits = parser.add_argument_group("limits")
    for name, text in {**LIMITS, **MODEL_LIMITS}.items():
        default = getattr(Settings, name)
        limits.add_argument(f"--{name}", type=type(default), default=default, help=text)
    add_output_options(parser)


def run(options: Namespace) -> int:
    """Examine, print and write; return 1 where something was found."""
    from ...data.catalogue.left_out import collecting
    from ...files.json_values import read_json
    from ...workflows.doctor import Settings, examine, format_report, write_report

    output = output_of(options)
    settings = Settings(**{name: getattr(options, name) for name in {**LIMITS, **MODEL_LIMITS}})
    _check_model_options(options, settings)
    chosen = choose_data(options, options.data)
    further, official_counts = _official_counts(chosen)
    with collecting() as left_out:
        dataset = chosen.load(**further)
    model = None
    if options.model is not None:
        from ...inference.load_model import load_model  # not without need: it takes torch and transformers along

        if not options.verbose:
            hide_loading()
        model = load_model(options.model, **model_settings(options))
    report = examine(
        dataset,
        name=chosen.title,
        official_counts=official_counts,
        left_out=left_out.to_json(),
        model=model,
        settings=settings,
        batch_size=options.batch_size or 64,
        num_threads=options.num_threads,
    )
    json_path, html_path = write_report(report, dataset, options.output_dir)
    text = f"{format_report(report)}\n\n{labelled(('Wrote', f'{json_path} and {html_path}'))}"
    output.result(text, read_json(json_path))
    has_findings = report.has_findings(options.fail_on)
    again = shlex.join(["hf-vitret", "doctor", *map(str, data_arguments(options.data, options))])
    if has_findings:
        output.note("Then", f"open {html_path}, mend what it shows, and run this again: {again}")
    else:
        output.next(["hf-vitret", "train", *data_arguments(options.data, options)])
    return int(has_findings)


def _check_model_options(options: Namespace, settings: Any) -> None:
    """Check that the options that need a model come with one."""
    if options.model is not None:
        return
    given = [name for name in ("revision", "pooling", "image_size", "device", "batch_size") if getattr(options, name)]
    given += [name for name in MODEL_LIMITS if getattr(settings, name) != getattr(type(settings), name)]
    if given:
        raise ValueError(f"expected --model with --{given[0]}, which is a setting of it; give both, or neither")


def _official_counts(chosen: ChosenData) -> tuple[dict[str, Any], dict[str, tuple[int, int]] | None]:
    """Return what to hand to the loader, and the official counts of its data set, where it knows any."""
    from ...data.loading import DATASETS

    loader = DATASETS[chosen.name]
    # A wrong count is something to report, not to stop at.
    further = {"check_counts": False} if "check_counts" in inspect.signature(loader).parameters else {}
    official: dict[str, tuple[int, int]] | None = getattr(import_module(loader.__module__), "OFFICIAL_COUNTS", None)
    return further, official
