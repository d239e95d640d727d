"""Build an index of a folder of embeddings, and measure the recall and time of its search.

  hf-vitret index embeddings --output_dir index
  hf-vitret index embeddings --output_dir index --memory_budget 2GiB --target_recall 0.99
  hf-vitret index embeddings --output_dir index --kind flat --calibration outputs/evaluation/match_rates.json
  hf-vitret index new-embeddings --add_to index
  hf-vitret index index --remove red/1.jpg red/2.jpg

Reads the folder that hf-vitret embed wrote, a few thousand vectors at a time. Prints which kind of index was chosen and
why, the recall of the ten exact neighbours of images held out of its training, the time of a search, and the size.
Removed images are no longer found; their vectors take space until the index is built again.
Exit status: 0 if the index reaches --target_recall, 1 if it does not, 2 for bad input.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..options.sizes import size, size_text
from ..output import add_output_options, labelled, output_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ...indexing.image_index import ImageIndex

MISSED = 1  # exit status
# Options of a new index, which --add_to and --remove refuse.
BUILDING = ("kind", "memory_budget", "target_recall", "backend", "num_queries", "seed")


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ...indexing.backends.backend import BACKENDS
    from ...indexing.backends.index_plan import KINDS
    from ...indexing.building.index_choice import DEFAULT_MEMORY, DEFAULT_QUERIES, DEFAULT_RECALL

    parser.add_argument("folder", metavar="FOLDER", help="folder that hf-vitret embed wrote; with --remove: the index")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("-o", "--output_dir", help="folder of the new index; replaces an index in it")
    place.add_argument("--add_to", metavar="INDEX", help="add the images to this index of the same model")
    place.add_argument("--remove", nargs="+", metavar="ID", help="ids of images to remove from the index")
    new = parser.add_argument_group("a new index")
    new.add_argument(
        "--kind", choices=KINDS, help="kind of the index; default: the first one that fits the budget and the recall"
    )
    new.add_argument(
        "--memory_budget", type=size, metavar="SIZE", help=f"memory for the index; default: {size_text(DEFAULT_MEMORY)}"
    )
    new.add_argument(
        "--target_recall", type=float, help=f"recall@10 to reach, where 1 is exact; default: {DEFAULT_RECALL}"
    )
    new.add_argument(
        "--backend", choices=BACKENDS, help="library that searches; torch is exact; default: faiss if it is installed"
    )
    new.add_argument("--num_queries", type=int, help=f"images for tuning and measuring; default: {DEFAULT_QUERIES:,}")
    new.add_argument("--seed", type=int, help="seed of the training and of the choice of these images; default: 0")
    parser.add_argument(
        "--calibration", help="match_rates.json of hf-vitret evaluate, kept for hf-vitret search --false_match_rate"
    )
    add_output_options(parser)


def run(options: Namespace) -> int:
    """Build an index, add to it or remove from it, and save it; return 1 if the recall is below the target."""
    from ...embedding.manifest import EmbeddingManifest
    from ...indexing.building.index_choice import DEFAULT_RECALL
    from ...indexing.image_index import ImageIndex
    from ...indexing.match_threshold import load_match_rates

    given = {name: getattr(options, name) for name in BUILDING if getattr(options, name) is not None}
    if given and not options.output_dir:
        how = "--add_to" if options.add_to else "--remove"
        raise ValueError(
            f"expected --{next(iter(given))} with --output_dir, a new index; got it with {how}: leave it out"
        )
    if options.remove:
        if options.calibration:
            raise ValueError("expected --calibration with --output_dir or --add_to; got it with --remove: leave it out")
        index = ImageIndex.load(options.folder)
        index.remove(options.remove if index.records.has_string_ids else _numbers(options.remove))
        return _end(index, options.folder, options, None)
    source = EmbeddingManifest.load(options.folder).model
    rates = load_match_rates(options.calibration, source) if options.calibration else None
    if options.add_to:
        index = ImageIndex.load(options.add_to, memory_map=False)
        index.add_from(options.folder)
        if rates is not None:
            index.with_match_rates(rates)
        return _end(index, options.add_to, options, None)
    index = ImageIndex.build_from(options.folder, match_rates=rates, **given)
    return _end(index, options.output_dir, options, given.get("target_recall", DEFAULT_RECALL))


def interruption(options: Namespace) -> str:
    """Describe what is kept after an interruption."""
    place = options.output_dir or options.add_to or options.folder
    return f"{place} is as it was before; the same command starts again from {options.folder}"


def _numbers(ids: list[str]) -> list[int]:
    """Parse ids of an index whose ids are integers."""
    try:
        return [int(each) for each in ids]
    except ValueError as error:
        raise ValueError(f"expected ids that are integers, as those of the index: {error}") from error


def _end(index: ImageIndex, place: str, options: Namespace, target_recall: float | None) -> int:
    """Save the index and report it; return 1 if a new index misses its target."""
    output = output_of(options)
    folder = str(index.save(place))
    has_missed = target_recall is not None and index.manifest.quality.recall_at_10 < target_recall
    output.result(_text(index, folder), _facts(index, folder))
    if has_missed:
        sys.stderr.write(
            f"recall@10 is {index.manifest.quality.recall_at_10:.4f}, and should be {target_recall:g}: raise "
            "--memory_budget, or use --kind flat\n"
        )
    image = index.example_file()
    if image is not None and index.has_model_at_hand:
        output.next(["hf-vitret", "search", Path(folder), image])
    else:
        output.note("Then", "hf-vitret search, with this index, an image file and the --model of the embeddings")
    return MISSED if has_missed else 0


def _text(index: ImageIndex, folder: str) -> str:
    facts = index.manifest
    lines = [("Measured", facts.quality.text())] if index.choice else []
    removed = f", {facts.num_removed:,} removed ones still kept" if facts.num_removed else ""
    lines.append(("Index", f"{folder}: {len(index):,} images, {facts.factory} by {facts.backend}{removed}"))
    if facts.model is not None:
        lines.append(("Model", f"{facts.model.name or 'without a name'}, {facts.model.revision or 'no revision'}"))
    return "\n".join([*([] if index.choice is None else [index.choice.table(), ""]), labelled(*lines)])


def _facts(index: ImageIndex, folder: str) -> dict[str, Any]:
    """Return the content of the JSON object."""
    plans = [] if index.choice is None else [asdict(plan) for plan in index.choice.plans]
    return {"folder": folder, **asdict(index.manifest), "plans": plans}
