"""Find the images of an index, or of a folder, that are most similar to given images.

  hf-vitret search index photo.jpg
  hf-vitret search photos photo.jpg --model outputs/photos/final
  hf-vitret search index photo.jpg other.png -k 5 --where color=red --where "price<=20"
  hf-vitret search index photo.jpg --html found.html
  hf-vitret search index photo.jpg --min_score 0.6 --json
  hf-vitret search index photo.jpg --false_match_rate 0.01 --calibration outputs/evaluation/match_rates.json
  hf-vitret search old-index photo.jpg --model outputs/new/final --map upgrade

Queries are image files on this machine. A folder or table of images is first embedded into a cache: the second search
in it starts at once. The model is that of the index, from its folder or the Hub, or else --model. Another model,
revision or image processor than that of the index is refused. With --map, which hf-vitret upgrade wrote, a new model
embeds the queries, which are then mapped to the embeddings of the old model.
Exit status: 0 if each query has a match, 1 if one has none, 2 for bad input.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..options.model_options import add_model_options, load_query_model
from ..options.threshold_options import add_threshold_options, lowest_score
from ..output import add_output_options, labelled, output_of
from ..progress import hide_loading

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ...indexing.image_index import ImageIndex
    from ...indexing.results.answers import Answer

NO_MATCH = 1  # exit status


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ...indexing.search_defaults import NUM_EXPANDING

    parser.add_argument(
        "index",
        metavar="INDEX",
        help="folder that hf-vitret index wrote; or images: a folder, a table, or anything that hf-vitret embed reads",
    )
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="image file to search with")
    parser.add_argument("-k", "--k", type=int, default=10, help="images to find for each query")
    model = add_model_options(parser, help="folder or Hub id of the model; default: that of the index")
    model.add_argument("--map", metavar="DIR", help="folder that hf-vitret upgrade wrote, to search with a newer model")
    model.add_argument("-b", "--batch_size", type=int, default=64, help="images embedded at once")
    how = parser.add_argument_group("search")
    how.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="search only images that fulfil this condition; also != < <= > >=; can be repeated",
    )
    better = how.add_mutually_exclusive_group()
    better.add_argument(
        "--expand", nargs="?", type=int, const=NUM_EXPANDING, metavar="NUM",
        help=f"search again with the mean of the query and its NUM nearest images ({NUM_EXPANDING} without a number)",
    )  # fmt: skip
    better.add_argument("--rerank", action="store_true", help="order the found images by k-reciprocal neighbours")
    add_threshold_options(parser).add_argument(
        "--calibration", help="match_rates.json of hf-vitret evaluate; default: the match rates of the index"
    )
    pictures = parser.add_argument_group("pictures")
    pictures.add_argument("--html", metavar="FILE", help="also write an HTML page with the images")
    pictures.add_argument("--png", metavar="FILE", help="also write a picture of the images")
    pictures.add_argument("--image_dir", help="folder of the images; default: the folder from which they were embedded")
    add_output_options(parser)


def run(options: Namespace) -> int:
    """Search, and print what is found; return 1 if a query has no match."""
    from ...embedding.model_identity import ModelIdentity
    from ...indexing.migration.embedding_map import EmbeddingMap
    from ...indexing.results.answers import format_answers
    from ...indexing.search_by_image import read_query, search_by_image

    output = output_of(options)
    _check(options)
    queries = [read_query(name) for name in options.images]  # before anything that takes long
    if not options.verbose:
        hide_loading()
    embedding_map = EmbeddingMap.load(options.map) if options.map else None
    index, model, identity = _open(options, embedding_map)
    min_score = lowest_score(options, index)
    image_dir = _find_pictures(options, index)
    answers = search_by_image(
        index,
        model,
        queries,
        options.k,
        names=[str(name) for name in options.images],
        where=options.where,
        min_score=min_score,
        expand=options.expand,
        rerank=options.rerank,
        embedding_map=embedding_map,
        identity=identity or ModelIdentity.of(model, name=options.model),
        batch_size=options.batch_size,
    )
    written = _draw(options, answers, image_dir, len(index))
    content = {"index": options.index, "min_score": min_score, "answers": [asdict(answer) for answer in answers]}
    text = format_answers(answers)
    if written:
        text += f"\n\n{labelled(('Wrote', ' and '.join(written)))}"
    output.result(text, {**content, "files": written})
    return 0 if all(answer.hits for answer in answers) else NO_MATCH


def interruption(options: Namespace) -> str:
    """Describe what is kept after an interruption."""
    from ...indexing.image_index import is_index

    if is_index(options.index):
        return "nothing was changed"
    return f"the images of {options.index} that are embedded already are kept; the same command goes on with the others"


def _open(options: Namespace, embedding_map: Any) -> tuple[ImageIndex, Any, Any]:
    """Return the index, the model of the queries, and the identity of the model if it is already known."""
    from ...indexing.collection_cache import indexed_collection
    from ...indexing.image_index import ImageIndex, is_index
    from ...inference.load_model import load_model
    from ..options.model_options import model_settings

    if not is_index(options.index):
        if not options.model:
            raise ValueError(
                f"expected an index in {options.index!r}, or images and --model to embed them with; it is no index, "
                "and no model is named"
            )
        model = load_model(options.model, **model_settings(options))
        output = output_of(options)
        index, folder = indexed_collection(model, options.index, model_name=options.model, say=output.say)
        output.note("Embeddings", f"{folder}, kept for the next search")
        return index, model, index.manifest.model
    index = ImageIndex.load(options.index)
    if embedding_map is not None:
        model, _ = load_query_model(options, embedding_map.new_model, None, "the map")
    else:
        model, _ = load_query_model(options, index.manifest.model, index.manifest.locations.get("model"))
    return index, model, None


def _check(options: Namespace) -> None:
    """Refuse options that contradict each other."""
    from ...indexing.image_index import is_index

    if options.k < 1:
        raise ValueError(f"--k must be at least 1; got {options.k}")
    if options.map and not is_index(options.index):
        raise ValueError(
            f"expected the index of an older model with --map; {options.index} is none: name one, or leave out --map"
        )
    if options.image_dir and not (options.html or options.png):
        raise ValueError(
            "expected --html or --png with --image_dir, which is for their pictures; give one, or leave it out"
        )


def _find_pictures(options: Namespace, index: ImageIndex) -> str | None:
    """Return the folder of the indexed images; `None` if no picture is drawn or the folder is not known."""
    if options.image_dir or not (options.html or options.png):
        return options.image_dir or None
    noted = index.manifest.locations.get("images")
    if noted is not None and not Path(noted).is_dir():
        raise ValueError(
            f"expected --image_dir: the images of the index are not in {noted} any more. Give their folder, or leave "
            "out --html and --png"
        )
    return noted


def _draw(options: Namespace, answers: list[Answer], image_dir: str | None, num_images: int) -> list[str]:
    """Write the requested pictures, and return their paths."""
    from ...files.atomic_writes import whole_file, write_text
    from ...indexing.results.answer_page import draw_page
    from ...indexing.results.answer_picture import draw_picture

    if options.html:
        Path(options.html).parent.mkdir(parents=True, exist_ok=True)
        note = f"{num_images:,} images" + (f", {'; '.join(options.where)}" if options.where else "")
        write_text(Path(options.html), draw_page(answers, options.images, image_dir, note=note))
    if options.png:
        Path(options.png).parent.mkdir(parents=True, exist_ok=True)
        picture = draw_picture(answers, options.images, image_dir)
        with whole_file(Path(options.png)) as partial:
            picture.save(partial, "PNG")
    return [name for name in (options.html, options.png) if name]
