"""Learn a linear map between the embeddings of an old and a new model, to search an old index with the new model.

  hf-vitret upgrade old-embeddings new-embeddings --output_dir upgrade
  hf-vitret upgrade old-embeddings new-embeddings --output_dir upgrade --label_column category
  hf-vitret upgrade outputs/old/final outputs/new/final --images photos --output_dir upgrade
  hf-vitret search old-index photo.jpg --model outputs/new/final --map upgrade

Reads two folders that hf-vitret embed wrote, with some thousand images in common; with --images, two models and such
images. The map is learned from some of the images. The others measure a search with the old model only, with new
queries in the old index (queries_mapped), with mapped old vectors (index_mapped), with an index of which a part was
embedded again (mixed), and with the new model only. The measure is R@k with --label_column; otherwise it is the share
of the images found with the new model only. Writes map.safetensors and upgrade.json.
Exit status: 0 if the map is written, 2 for bad input.
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

    parser.add_argument(
        "old", metavar="OLD", help="folder of embeddings of the old model; with --images: the old model"
    )
    parser.add_argument(
        "new", metavar="NEW", help="folder of embeddings of the new model; with --images: the new model"
    )
    parser.add_argument("-o", "--output_dir", required=True, help="folder for the map")
    images = parser.add_argument_group("images")
    images.add_argument("--images", help="images to embed with both models: anything that hf-vitret embed reads")
    images.add_argument("--image_column", help="with --images: column of a table; default: image, path or file_name")
    images.add_argument("-b", "--batch_size", type=int, help="with --images: images embedded at once; default: 64")
    add_device_option(images)
    images.add_argument(
        "--max_images", type=int, default=MAX_IMAGES, help="largest number of images that are read, drawn at random"
    )
    fit = parser.add_argument_group("map")
    fit.add_argument(
        "--method", choices=METHODS, default=METHODS[0], help="method of the fit; orthogonal needs fewer images"
    )
    fit.add_argument("--ridge", type=float, help=f"regularisation of the method ridge; default: {DEFAULT_RIDGE}")
    measure = parser.add_argument_group("measurement")
    measure.add_argument(
        "--label_column", help="column with the classes of the images; then whole classes are held out"
    )
    measure.add_argument("--held_out", type=float, default=0.2, help="share of the images or classes that is held out")
    measure.add_argument("--share_new", type=float, default=0.5, help="share of the mixed index that is embedded again")
    measure.add_argument("--ks", type=int, nargs="+", default=[1, 10], help="values of k")
    measure.add_argument("--seed", type=int, default=0, help="seed of the random choices")
    add_output_options(parser)


def run(options: Namespace) -> int:
    """Fit the map, measure it and write it; return 0."""
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
    """Describe what is kept after an interruption."""
    if options.images:
        return (
            "nothing is kept. hf-vitret embed keeps what it has embedded: run it with each of the models, then "
            "hf-vitret upgrade on the two folders"
        )
    return "nothing was changed; the same command starts again"


def _check(options: Namespace, default_method: str) -> None:
    """Refuse options that contradict each other."""
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
    """Read the embeddings of both models; with `--images`, embed the images first, in the folder of the map."""
    if not options.images:
        return _read_folders(options, [Path(options.old), Path(options.new)])
    from ...embedding.sources.opening import open_source
    from ...embedding.write_embeddings import write_embeddings
    from ...inference.load_model import load_model

    source = open_source(options.images, image_column=options.image_column)
    models = [(name, load_model(name, device=options.device)) for name in (options.old, options.new)]
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".embeddings-", dir=folder) as work:
        folders = [Path(work, "old"), Path(work, "new")]
        for (name, model), made in zip(models, folders):
            settings: Any = {"batch_size": options.batch_size or 64, "model_name": name}
            write_embeddings(model, source, made, rank=0, world_size=1, **settings)
        return _read_folders(options, folders)


def _read_folders(options: Namespace, folders: list[Path]) -> tuple[CommonImages, list[ModelIdentity]]:
    """Read the embeddings of the old and of the new model."""
    from ...embedding.shards import EmbeddingFolder
    from ...indexing.migration.common_images import common_images

    opened = [EmbeddingFolder(folder) for folder in folders]
    for each in opened:
        each.check_files()
        if not each.manifest.normalized:
            raise ValueError(
                f"expected embeddings of unit L2 norm; {each.folder} has others: embed again by hf-vitret embed "
                "--normalize"
            )
    models = [each.manifest.model for each in opened]
    if not models[0].difference(models[1]):
        raise ValueError(f"expected two models; both embeddings are those of {models[0].name}: no map is needed")
    images = common_images(*opened, label_column=options.label_column, max_images=options.max_images, seed=options.seed)
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
