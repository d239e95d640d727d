"""Examine a data set before training on it: broken files, duplicates, leakage, wrong labels.

  hf-vitret doctor sop --data_dir Stanford_Online_Products
  hf-vitret doctor catalogue --data_dir photos
  hf-vitret doctor catalogue --data_dir products.csv --image_column file --label_column sku --model outputs/run/final

Prints a table, and writes doctor.json, with every finding, and doctor.html, one page with the pictures side by side.
Exit status: 0 where nothing is found, 1 where something is, 2 where the data set cannot be examined.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from .options.loader_options import add_loader_options, given_loader_options

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

# The fields of `Settings`.
LIMITS = {
    "max_megapixels": "an image of more is giant",
    "min_side": "pixels; an image with a shorter side is tiny",
    "max_distance": "bits of 64 in which the hashes of near duplicates may differ",
    "min_correlation": "what the thumbnails of near duplicates must reach",
    "min_cosine": "with --model: cosine from which two images are taken for one",
    "num_neighbors": "with --model: nearest images that vote on each image's class",
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ..data.loading import DATASETS
    from ..workflows.doctor.kinds import SEVERITIES
    from ..workflows.doctor.settings import Settings

    parser.add_argument("dataset", help=f"name of the data set: {', '.join(sorted(DATASETS))}")
    parser.add_argument("--data_dir", help="where it is: a folder, an archive, a table, or its name on the Hub")
    add_loader_options(parser)
    parser.add_argument("--output_dir", default="outputs/doctor", help="where doctor.json and doctor.html are written")
    parser.add_argument(
        "--model",
        help="folder or Hub id of a ViTRet model or of a backbone: also look for what it takes for one, or "
        "for another class",
    )
    parser.add_argument("--batch_size", type=int, default=64, help="images that the model embeds at once")
    parser.add_argument("--num_threads", type=int, help="threads that read images; default: one per CPU, 16 at most")
    parser.add_argument(
        "--fail_on", choices=SEVERITIES, default=SEVERITIES[-1], help="least severity that makes the exit status 1"
    )
    parser.add_argument("--json", action="store_true", help="print what doctor.json says, and nothing else")
    limits = parser.add_argument_group("limits")
    for name, text in LIMITS.items():
        default = getattr(Settings, name)
        limits.add_argument(f"--{name}", type=type(default), default=default, help=text)


def run(options: Namespace) -> int:
    """Examine, print and write; return 1 where something was found."""
    from ..data.loading import load_retrieval_dataset
    from ..workflows.doctor import Settings, examine, format_report, write_report

    settings = Settings(**{name: getattr(options, name) for name in LIMITS})
    load_options, official_counts = _loader_options(options)
    dataset = load_retrieval_dataset(options.dataset, data_dir=options.data_dir, **load_options)
    model = None
    if options.model is not None:
        from ..inference.load_model import load_model  # not without need: it takes torch and transformers along

        model = load_model(options.model)
    report = examine(
        dataset,
        name=options.dataset,
        official_counts=official_counts,
        model=model,
        settings=settings,
        batch_size=options.batch_size,
        num_threads=options.num_threads,
    )
    json_path, html_path = write_report(report, dataset, options.output_dir)
    if options.json:
        sys.stdout.write(json_path.read_text(encoding="utf-8"))
        return int(report.has_findings(options.fail_on))
    sys.stdout.write(f"{format_report(report)}\n\nWrote {json_path} and {html_path}.\n")
    if report.findings:
        sys.stdout.write(f"Next: open {html_path}, mend what it shows, and run this again.\n")
    else:
        sys.stdout.write("Next: train on it.\n")
    return int(report.has_findings(options.fail_on))


def _loader_options(options: Namespace) -> tuple[dict[str, Any], dict[str, tuple[int, int]] | None]:
    """Return what to hand to the loader, and the official counts of its data set, where it knows any."""
    from ..data.loading import DATASETS

    given = given_loader_options(options, options.dataset)
    if options.dataset not in DATASETS:
        return given, None  # load_retrieval_dataset says which ones there are
    loader = DATASETS[options.dataset]
    if "check_counts" in inspect.signature(loader).parameters:
        given["check_counts"] = False  # a wrong count is something to report, not to stop at
    official: dict[str, tuple[int, int]] | None = getattr(import_module(loader.__module__), "OFFICIAL_COUNTS", None)
    return given, official
