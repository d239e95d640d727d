"""Index a folder of embeddings, and measure what a search in it finds.

  hf-vitret index embeddings --output_dir index
  hf-vitret index embeddings --output_dir index --memory_budget 2 --target_recall 0.99
  hf-vitret index embeddings --output_dir index --kind flat --calibration outputs/evaluation/match_rates.json
  hf-vitret index new-embeddings --add_to index
  hf-vitret index index --remove red/1.jpg red/2.jpg

Reads what hf-vitret embed wrote, a few thousand vectors at a time. Prints which index was taken and why; then the share
of the ten exact neighbours that it finds for images held out of its training, the time of a search, and its size.
Removed images are found no more; their vectors keep their place until the index is built again.
Exit status: 0 where the index finds what it should, 1 where it finds less than --target_recall, 2 for bad input.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ..indexing.image_index import ImageIndex

MISSED = 1  # exit status


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ..indexing.backends.backend import BACKENDS
    from ..indexing.backends.index_plan import KINDS
    from ..indexing.building.index_choice import DEFAULT_MEMORY, DEFAULT_QUERIES, DEFAULT_RECALL

    parser.add_argument("folder", help="what hf-vitret embed wrote; with --remove the index")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--output_dir", help="folder to make; an index that is there is replaced")
    place.add_argument("--add_to", metavar="INDEX", help="add to this index, of the same model, in place of a new one")
    place.add_argument("--remove", nargs="+", metavar="ID", help="images to remove from the index, by their ids")
    parser.add_argument("--kind", choices=KINDS, help="which index to build; default: the first that suits")
    parser.add_argument("--memory_budget", type=float, default=DEFAULT_MEMORY / 2**30, help="GiB that it may take")
    parser.add_argument("--target_recall", type=float, default=DEFAULT_RECALL, help="recall@10 to reach; 1: exact")
    parser.add_argument("--backend", choices=BACKENDS, help="default: faiss where it is installed; torch is exact")
    parser.add_argument("--num_queries", type=int, default=DEFAULT_QUERIES, help="images to tune and measure with")
    parser.add_argument("--seed", type=int, default=0, help="of the training and of the draw of the queries")
    parser.add_argument(
        "--calibration", help="JSON with match rates: from which score on a search says that it matched"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(options: Namespace) -> int:
    """Build, add or remove, save and print; return 1 where the target was missed."""
    from ..embedding.manifest import EmbeddingManifest
    from ..indexing.image_index import ImageIndex
    from ..indexing.match_threshold import load_match_rates

    if options.remove:
        if options.calibration:
            raise ValueError("--calibration goes with --output_dir and --add_to; got it with --remove")
        index = ImageIndex.load(options.folder)
        index.remove(options.remove if index.records.has_string_ids else _numbers(options.remove))
        return _end(index, options.folder, options)
    source = EmbeddingManifest.load(options.folder).model
    rates = load_match_rates(options.calibration, source) if options.calibration else None
    if options.add_to:
        index = ImageIndex.load(options.add_to, memory_map=False)
        index.add_from(options.folder)
        if rates is not None:
            index.with_match_rates(rates)
    else:
        index = ImageIndex.build_from(
            options.folder,
            kind=options.kind,
            memory_budget=int(options.memory_budget * 2**30),
            target_recall=options.target_recall,
            backend=options.backend,
            num_queries=options.num_queries,
            seed=options.seed,
            match_rates=rates,
        )
    return _end(index, options.add_to or options.output_dir, options)


def _numbers(ids: list[str]) -> list[int]:
    """Read ids of an index whose ids are integers."""
    try:
        return [int(each) for each in ids]
    except ValueError as error:
        raise ValueError(f"expected ids that are integers, as those of the index: {error}") from error


def _end(index: ImageIndex, place: str, options: Namespace) -> int:
    """Save and say what is there now; return 1 where a new index misses its target."""
    folder = index.save(place)
    has_missed = index.choice is not None and index.manifest.quality.recall_at_10 < options.target_recall
    sys.stdout.write(_json(index, str(folder)) if options.json else _text(index, str(folder)))
    if has_missed:
        sys.stderr.write(
            f"recall@10 is {index.manifest.quality.recall_at_10:.4f}, and should be {options.target_recall:g}: raise "
            "--memory_budget, or take --kind flat\n"
        )
    return MISSED if has_missed else 0


def _text(index: ImageIndex, folder: str) -> str:
    lines = [] if index.choice is None else [index.choice.table(), ""]
    facts = index.manifest
    lines += [f"Measured   {facts.quality.text()}"] if index.choice else []
    removed = f", {facts.num_removed:,} removed ones still kept" if facts.num_removed else ""
    lines += [f"Index      {folder}: {len(index):,} images, {facts.factory} by {facts.backend}{removed}"]
    if facts.model is not None:
        lines.append(f"Model      {facts.model.name or 'without a name'}, {facts.model.revision or 'no revision'}")
    return "\n".join([*lines, f"Next       hf-vitret search {folder} IMAGE", ""])


def _json(index: ImageIndex, folder: str) -> str:
    from ..files.json_values import json_text

    plans = [] if index.choice is None else [asdict(plan) for plan in index.choice.plans]
    content = {"folder": folder, **asdict(index.manifest), "plans": plans}
    return json_text(content) + "\n"
