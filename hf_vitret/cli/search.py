"""Search an index by images.

  hf-vitret search index photo.jpg
  hf-vitret search index photo.jpg other.png --k 5 --where color=red --where "price<=20"
  hf-vitret search index photo.jpg --image_dir photos --html found.html
  hf-vitret search index photo.jpg --min_score 0.6 --json
  hf-vitret search index photo.jpg --false_match_rate 0.01 --calibration outputs/evaluation/match_rates.json
  hf-vitret search index photo.jpg --model outputs/run/final --rerank
  hf-vitret search old-index photo.jpg --model outputs/new/final --map map.safetensors

Images are files of this machine. The model is that of the index, which is taken from the Hub where it came from there;
one kept in a folder is named with --model, a plain backbone with what it was embedded with. Queries of another model,
revision or image processor are refused; with --map, which hf-vitret upgrade wrote, the queries are those of the new
model, brought to where the old ones are.
Exit status: 0 where each query found something, 1 where one has no match, 2 for bad input.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options.query_model import add_model_options, load_query_model

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    import numpy as np
    from torch import nn

    from ..indexing.image_index import ImageIndex
    from ..indexing.migration.embedding_map import EmbeddingMap

NO_MATCH = 1  # exit status


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ..indexing.search_defaults import NUM_EXPANDING

    parser.add_argument("index", help="folder that hf-vitret index made")
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="file of an image to search with")
    parser.add_argument("--k", type=int, default=10, help="images to find for each")
    add_model_options(parser)
    parser.add_argument("--map", metavar="FILE", help="from the index's model to a newer one, which embeds the queries")
    parser.add_argument("--batch_size", type=int, default=64, help="images that the model embeds at once")
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="only images of which this is true; also with != < <= > >=, and several times",
    )
    better = parser.add_mutually_exclusive_group()
    better.add_argument(
        "--expand", nargs="?", type=int, const=NUM_EXPANDING, metavar="NUM",
        help=f"search again with each query averaged with its NUM nearest images ({NUM_EXPANDING} without a number)",
    )  # fmt: skip
    better.add_argument("--rerank", action="store_true", help="order what is found by k-reciprocal neighbours")
    threshold = parser.add_argument_group("no match")
    threshold.add_argument("--min_score", type=float, help="images that score less are no match")
    threshold.add_argument("--false_match_rate", type=float, help="the same, by the score measured for this rate")
    threshold.add_argument("--calibration", help="JSON with match rates; default: those of the index")
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    output.add_argument("--html", help="also write a page with the pictures")
    output.add_argument("--png", help="also write one picture")
    output.add_argument("--image_dir", help="folder of the images that were embedded, for the pictures")


def run(options: Namespace) -> int:
    """Embed, search and show; return 1 where a query has no match."""
    from ..embedding.model_identity import ModelIdentity
    from ..files.json_values import json_text
    from ..indexing.image_index import ImageIndex
    from ..indexing.migration.embedding_map import EmbeddingMap
    from ..indexing.results.answers import collect_answers, format_answers

    if options.k < 1:
        raise ValueError(f"--k must be at least 1; got {options.k}")
    queries = [_read(name) for name in options.images]  # before anything that takes long
    index = ImageIndex.load(options.index)
    min_score = _min_score(options, index)
    embedding_map = EmbeddingMap.load(options.map) if options.map else None
    if embedding_map is not None and embedding_map.old_model is not None:
        index.check_model(embedding_map.old_model)
    if embedding_map is None:
        model, source = load_query_model(options, index.manifest.model)
    else:
        whose = "the map does not say where its new model"
        model, source = load_query_model(options, embedding_map.new_model, whose)
    identity = ModelIdentity.of(model, name=source)
    if embedding_map is None:
        index.check_model(identity)
    else:
        embedding_map.check_new_model(identity)
    scores, positions = _search(options, index, model, queries, embedding_map, min_score)
    names = [str(name) for name in options.images]
    answers = collect_answers(index, names, scores, positions)
    written = _draw(options, answers, index)
    if options.json:
        content = {"index": options.index, "min_score": min_score, "answers": [asdict(answer) for answer in answers]}
        sys.stdout.write(json_text(content, default=str) + "\n")
    else:
        sys.stdout.write(format_answers(answers) + "\n")
    if written and not options.json:
        sys.stdout.write(f"\nWrote {' and '.join(written)}.\n")
    return 0 if all(answer.hits for answer in answers) else NO_MATCH


def _read(name: str) -> Any:
    """Decode a file of this machine."""
    from ..data.images import read_image

    if not Path(name).is_file():
        raise FileNotFoundError(f"expected the file of an image; {name!r} is none")
    try:
        return read_image({"bytes": None, "path": str(Path(name).resolve())})
    except ValueError as error:
        raise ValueError(f"expected an image in {name}; it cannot be read: {error}") from error


def _min_score(options: Namespace, index: ImageIndex) -> float | None:
    """Return the score from which on an image is a match; None where all are."""
    from ..indexing.match_threshold import load_match_rates, threshold_at

    if options.min_score is None and options.false_match_rate is None:
        if options.calibration:
            raise ValueError("--calibration goes with --false_match_rate, which chooses one of its thresholds")
        return None
    if options.expand is not None or options.rerank:
        raise ValueError("no threshold was measured for --expand and --rerank, whose scores are others: leave one out")
    if options.map and options.false_match_rate is not None:
        raise ValueError("no threshold was measured for --map, whose scores are others: leave it out, or --min_score")
    if options.min_score is not None:
        if options.false_match_rate is not None:
            raise ValueError("expected --min_score or --false_match_rate; got both")
        return float(options.min_score)
    known = index.manifest
    rates = load_match_rates(options.calibration, known.model) if options.calibration else known.match_rates
    if rates is None:
        raise ValueError(
            "the index has no match rates: give --calibration, what hf-vitret evaluate --false_match_rates wrote, here "
            "or to hf-vitret index; or a --min_score"
        )
    return threshold_at(rates, options.false_match_rate)


def _search(
    options: Namespace,
    index: ImageIndex,
    model: nn.Module,
    images: list[Any],
    embedding_map: EmbeddingMap | None,
    min_score: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    from ..indexing.refined_search import expanded_search, reranked_search
    from ..inference.embed import embed_images

    embeddings = embed_images(model, images, batch_size=options.batch_size)
    if embedding_map is not None:
        embeddings = embedding_map.to_old(embeddings)
    settings: dict[str, Any] = {"where": options.where}
    if options.expand is not None:
        return expanded_search(index, embeddings, options.k, num_neighbors=options.expand, **settings)
    if options.rerank:
        return reranked_search(index, embeddings, options.k, **settings)
    return index.search_positions(embeddings, options.k, min_score=min_score, **settings)


def _draw(options: Namespace, answers: list[Any], index: ImageIndex) -> list[str]:
    """Write the pictures that were asked for; return their names."""
    from ..files.atomic_writes import whole_file, write_text
    from ..indexing.results.answer_page import draw_page
    from ..indexing.results.answer_picture import draw_picture

    if options.html:
        Path(options.html).parent.mkdir(parents=True, exist_ok=True)
        note = f"{len(index):,} images" + (f", {'; '.join(options.where)}" if options.where else "")
        page = draw_page(answers, options.images, options.image_dir, note=note)
        write_text(Path(options.html), page)
    if options.png:
        Path(options.png).parent.mkdir(parents=True, exist_ok=True)
        picture = draw_picture(answers, options.images, options.image_dir)
        with whole_file(Path(options.png)) as partial:
            picture.save(partial, "PNG")
    return [name for name in (options.html, options.png) if name]
