"""Search an index of an old model with a new one: a linear map between their embeddings, and what it loses.

  hf-vitret upgrade old-embeddings new-embeddings --output_dir upgrade
  hf-vitret upgrade old-embeddings new-embeddings --output_dir upgrade --label_column category
  hf-vitret upgrade outputs/old/final outputs/new/final --images photos --output_dir upgrade
  hf-vitret search old-index photo.jpg --model outputs/new/final --map upgrade

Takes two folders that hf-vitret embed wrote, with images in common, some thousands; or two models and such images. The
map is learned from some of them. The others show what a search finds: with the old model alone, with new queries in the
old index (queries_mapped), with the old vectors mapped (index_mapped), with an index of which a part was embedded again
(mixed), and with the new model alone: R@k with labels; without, which share of what the new model alone finds.
Writes map.safetensors and upgrade.json.
Exit status: 0 where the map is written, 2 for bad input.
"""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ..options.model_options import add_device_option
from ..output import add_output_options, labelled, output_of
from ..progress import hide_loading

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ...embedding.model_identity import ModelIdentity
    from ...indexing.migration.common_images import CommonImages
    from ...indexing.migration.embedding_map import EmbeddingMap
    from ...indexing.migration.mixed_recall import MixedRecall

REPORT_NAME = "upgrade.json"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ...indexing.migration.map_choices import DEFAULT_RIDGE, MAX_IMAGES, METHODS

    parser.add_argument("old", metavar="OLD", help="folder of embeddings of the old model; with --images that model")
    parser.add_argument("new", metavar="NEW", help="folder of embeddings of the new model; with --images that model")
    parser.add_argument("-o", "--output_dir", required=True, help="folder for the map")
    images = parser.add_argument_group("images")
    images.add_argument("--images", help="embed these with both models first: what hf-vitret embed takes")
    images.add_argument("--image_column", help="with --images: of a table; default: image, path or file_name")
    images.add_argument("-b", "--batch_size", type=int, help="with --images: images a step; default: 64")
    add_device_option(images)
    images.add_argument("--max_images", type=int, default=MAX_IMAGES, help="images to read, drawn at random")
    fit = parser.add_argument_group("map")
    fit.add_argument("--method", choices=METHODS, default=METHODS[0], help="orthogonal needs fewer images")
    fit.add_argument("--ridge", type=float, help=f"of ridge: how much it holds weights down; default: {DEFAULT_RIDGE}")
    measure = parser.add_argument_group("what is measured")
    measure.add_argument("--label_column", help="classes of the images; whole classes are then held out")
    measure.add_argument("--held_out", type=float, default=0.2, help="share of the images or classes to measure with")
    measure.add_argument("--share_new", type=float, default=0.5, help="part of the mixed index that is embedded again")
    measure.add_argument("--ks", type=int, nargs="+", default=[1, 10], help="cut-offs")
    measure.add_argument("--seed", type=int, default=0, help="of the draws")
    add_output_options(parser)


def run(options: Namespace) -> int:
    """Embed if need be, fit, measure, write; return 0."""
    from ...files.json_values import write_json
    from ...indexing.migration.embedding_map import MAP_NAME, EmbeddingMap
    from ...indexing.migration.map_choices import DEFAULT_RIDGE, METHODS
    from ...indexing.migration.mixed_recall import mixed_recall

    output = output_of(options)
    _check(options, METHODS[0])
    if not options.verbose:
        hide_loading()
    folder = Path(options.output_dir)
    images, models = _read(options, folder)
    fitted, held_out = images.split(options.held_out, options.seed)
    embedding_map = EmbeddingMap.fit(
        images.old[fitted],
        images.new[fitted],
        method=options.method,
        ridge=DEFAULT_RIDGE if options.ridge is None else options.ridge,
        old_model=models[0],
        new_model=models[1],
    )
    recall = mixed_recall(
        embedding_map,
        images.old[held_out],
        images.new[held_out],
        None if images.labels is None else images.labels[held_out.numpy()],
        ks=options.ks,
        share_new=options.share_new,
        seed=options.seed,
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MAP_NAME
    embedding_map.save(path)
    facts: dict[str, Any] = {"map": str(path), "num_common": images.num_common}
    facts |= {"num_fitted": len(fitted), "num_held_out": len(held_out)}
    facts |= {"recalls": recall.recalls, "share_new": recall.share_new}
    facts |= {name: None if model is None else asdict(model) for name, model in zip(("old_model", "new_model"), models)}
    write_json(folder / REPORT_NAME, facts)
    output.result(_text(options, embedding_map, recall, facts), facts)
    output.note("Then", f"hf-vitret search, with the old index, an image file and --map {shlex.quote(str(folder))}")
    return 0


def interruption(options: Namespace) -> str:
    """Say what an interrupted command leaves."""
    if options.images:
        return (
            "nothing is kept. hf-vitret embed keeps what it has embedded: run it with each of the models, then "
            "hf-vitret upgrade on the two folders"
        )
    return "nothing was changed; the same command starts again"


def _check(options: Namespace, default_method: str) -> None:
    """Check which options go together."""
    if min(options.ks) < 1:
        raise ValueError(f"--ks must be at least 1; got {min(options.ks)}")
    if options.max_images < 2:
        raise ValueError(f"--max_images must be at least 2; got {options.max_images}")
    for name in ("image_column", "batch_size", "device"):
        if getattr(options, name) is not None and not options.images:
            raise ValueError(f"expected --images with --{name}, which is a setting of it; give both, or neither")
    if options.ridge is not None and options.method != default_method:
        raise ValueError(
            f"expected --method {default_method} with --ridge; got --method {options.method}: leave one out"
        )


def _read(options: Namespace, folder: Path) -> tuple[CommonImages, list[ModelIdentity]]:
    """Read the embeddings of both models; where images are given, embed them first, in the folder of the map."""
    if not options.images:
        return _read_folders(options, [Path(options.old), Path(options.new)])
    from ...embedding.sources.opening import open_source
    from ...embedding.write_embeddings import write_embeddings
    from ...inference.load_model import load_model

    source = open_source(options.images, image_column=options.image_column)
    models = [(name, load_model(name, device=options.device)) for name in (options.old, options.new)]
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".embeddings-", dir=folder) as work:
        places = [Path(work, "old"), Path(work, "new")]
        for (name, model), place in zip(models, places):
            settings: Any = {"batch_size": options.batch_size or 64, "model_name": name}
            write_embeddings(model, source, place, rank=0, world_size=1, **settings)
        return _read_folders(options, places)


def _read_folders(options: Namespace, places: list[Path]) -> tuple[CommonImages, list[ModelIdentity]]:
    """Read embeddings of the old model and of the new one."""
    from ...embedding.shards import EmbeddingFolder
    from ...indexing.migration.common_images import common_images

    folders = [EmbeddingFolder(place) for place in places]
    for each in folders:
        each.check_files()
        if not each.manifest.normalized:
            raise ValueError(
                f"expected embeddings of unit L2 norm; {each.folder} has others: embed again by hf-vitret embed "
                "--normalize"
            )
    models = [each.manifest.model for each in folders]
    if not models[0].difference(models[1]):
        raise ValueError(f"expected two models; both embeddings are those of {models[0].name}: no map is needed")
    images = common_images(
        *folders, label_column=options.label_column, max_images=options.max_images, seed=options.seed
    )
    return images, models


def _text(options: Namespace, embedding_map: EmbeddingMap, recall: MixedRecall, facts: dict[str, Any]) -> str:
    old_model, new_model = embedding_map.old_model, embedding_map.new_model
    held_out = "classes of their own" if options.label_column else "drawn at random"
    counts = (
        f"{facts['num_common']:,} in common; {facts['num_fitted']:,} to fit on, {facts['num_held_out']:,} held out, "
        f"{held_out}, which search one another"
    )
    dims = f"{embedding_map.old_weight.shape[1]} and {embedding_map.new_weight.shape[1]} dimensions"
    names = f"{old_model.name if old_model else ''} and {new_model.name if new_model else ''}"
    made = labelled(("Map", f"{facts['map']}: {options.method}, {dims}, {names}"))
    return f"{labelled(('Images', counts))}\n\n{recall.table()}\n\n{made}"
