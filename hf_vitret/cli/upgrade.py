"""Search an index of an old model with a new one: a linear map between their embeddings, and what it loses.

  hf-vitret upgrade old-embeddings new-embeddings --output map.safetensors
  hf-vitret upgrade old-embeddings new-embeddings --output map.safetensors --label_column category
  hf-vitret upgrade outputs/old/final outputs/new/final --images photos --output map.safetensors
  hf-vitret search old-index photo.jpg --model outputs/new/final --map map.safetensors

Takes two folders that hf-vitret embed wrote, with images in common, some thousands; or two models and such images. The
map is learned from some of them. The others show what a search finds: with the old model alone, with new queries in the
old index (queries_mapped), with the old vectors mapped (index_mapped), with an index of which a part was embedded again
(mixed), and with the new model alone: R@k with labels; without, which share of what the new model alone finds.
Exit status: 0 where the map is written, 2 for bad input.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ..embedding.model_identity import ModelIdentity
    from ..indexing.migration.common_images import CommonImages
    from ..indexing.migration.embedding_map import EmbeddingMap
    from ..indexing.migration.mixed_recall import MixedRecall


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ..indexing.migration.map_choices import DEFAULT_RIDGE, MAX_IMAGES, METHODS

    parser.add_argument("old", help="folder of embeddings of the old model; with --images that model")
    parser.add_argument("new", help="folder of embeddings of the new model; with --images that model")
    parser.add_argument("--output", required=True, help="file to write, .safetensors")
    parser.add_argument("--images", help="embed these with both models first: what hf-vitret embed takes")
    parser.add_argument("--image_column", help="with --images: of a table; default: image, path or file_name")
    parser.add_argument("--batch_size", type=int, default=64, help="with --images: images a step")
    parser.add_argument("--method", choices=METHODS, default=METHODS[0], help="orthogonal needs fewer images")
    parser.add_argument("--ridge", type=float, default=DEFAULT_RIDGE, help="of ridge: how much it holds weights down")
    parser.add_argument("--max_images", type=int, default=MAX_IMAGES, help="images to read, drawn at random")
    measure = parser.add_argument_group("what is measured")
    measure.add_argument("--label_column", help="classes of the images; whole classes are then held out")
    measure.add_argument("--held_out", type=float, default=0.2, help="share of the images or classes to measure with")
    measure.add_argument("--share_new", type=float, default=0.5, help="part of the mixed index that is embedded again")
    measure.add_argument("--ks", type=int, nargs="+", default=[1, 10], help="cut-offs")
    measure.add_argument("--seed", type=int, default=0, help="of the draws")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")


def run(options: Namespace) -> int:
    """Embed if need be, fit, measure, write; return 0."""
    from ..indexing.migration.embedding_map import EmbeddingMap
    from ..indexing.migration.mixed_recall import mixed_recall

    if min(options.ks) < 1:
        raise ValueError(f"--ks must be at least 1; got {min(options.ks)}")
    if options.max_images < 2:
        raise ValueError(f"--max_images must be at least 2; got {options.max_images}")
    output = Path(options.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{output.name}-", dir=output.parent) as work:
        images, models = _read(options, Path(work))
    fitted, held_out = images.split(options.held_out, options.seed)
    embedding_map = EmbeddingMap.fit(
        images.old[fitted],
        images.new[fitted],
        method=options.method,
        ridge=options.ridge,
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
    embedding_map.save(output)
    counts = {"num_common": images.num_common, "num_fitted": len(fitted), "num_held_out": len(held_out)}
    show = _json if options.json else _text
    sys.stdout.write(show(options, embedding_map, recall, counts))
    return 0


def _read(options: Namespace, work: Path) -> tuple[CommonImages, list[ModelIdentity]]:
    """Read the embeddings of both models, which write them first where images were given."""
    from ..embedding.shards import EmbeddingFolder
    from ..embedding.sources.opening import open_source
    from ..embedding.write_embeddings import write_embeddings
    from ..indexing.migration.common_images import common_images

    places = [Path(options.old), Path(options.new)]
    if options.images:
        places = [work / "old", work / "new"]
        for model, place in zip((options.old, options.new), places):
            source = open_source(options.images, image_column=options.image_column)
            write_embeddings(model, source, place, batch_size=options.batch_size, rank=0, world_size=1)
    folders = [EmbeddingFolder(place) for place in places]
    for folder in folders:
        folder.check_files()
        if not folder.manifest.normalized:
            raise ValueError(f"expected embeddings of unit L2 norm; {folder.folder} has others: embed with --normalize")
    models = [folder.manifest.model for folder in folders]
    if not models[0].difference(models[1]):
        raise ValueError(f"expected two models; both embeddings are those of {models[0].name}: no map is needed")
    images = common_images(
        *folders, label_column=options.label_column, max_images=options.max_images, seed=options.seed
    )
    return images, models


def _text(options: Namespace, embedding_map: EmbeddingMap, recall: MixedRecall, counts: dict[str, int]) -> str:
    old_model, new_model = embedding_map.old_model, embedding_map.new_model
    held_out = "classes of their own" if options.label_column else "drawn at random"
    command = ["hf-vitret", "search", "OLD_INDEX", "IMAGE", "--map", options.output]
    return "\n".join(
        [
            f"Images     {counts['num_common']:,} in common; {counts['num_fitted']:,} to fit on, "
            f"{counts['num_held_out']:,} held out, {held_out}, which search one another",
            "",
            recall.table(),
            "",
            f"Map        {options.output}: {options.method}, {embedding_map.old_weight.shape[1]} and "
            f"{embedding_map.new_weight.shape[1]} dimensions, {old_model.name if old_model else ''} and "
            f"{new_model.name if new_model else ''}",
            f"Next       {shlex.join(command)}",
            "",
        ]
    )


def _json(options: Namespace, embedding_map: EmbeddingMap, recall: MixedRecall, counts: dict[str, int]) -> str:
    from ..files.json_values import json_text

    models = {"old_model": embedding_map.old_model, "new_model": embedding_map.new_model}
    content = {"output": options.output, **counts, "recalls": recall.recalls, "share_new": recall.share_new}
    content |= {name: None if model is None else asdict(model) for name, model in models.items()}
    return json_text(content) + "\n"
