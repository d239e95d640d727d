"""Embed any number of images into a folder of vectors, from which an index is built.

  hf-vitret embed photos --model user/model --output_dir photos-embeddings
  hf-vitret embed 'photos/**/*.jpg' --model outputs/photos/final --output_dir E --stored_dtype float16
  hf-vitret embed products.csv --model user/model --image_column file --output_dir E
  hf-vitret embed index.csv --image_dir index --image_column id --image_suffix .jpg --model user/model --output_dir E
  hf-vitret embed 'shards/*.tar' --model user/model --output_dir E --json
  hf-vitret embed user/photos --split train --model user/model --output_dir E
  hf-vitret embed photos --model user/model --output_dir E --num_processes 4
  hf-vitret embed photos --model user/model --output_dir /shared/E --rank 3 --world_size 8

The input is a folder of images, of Parquet files or of tar archives (WebDataset); a pattern of files, in quotes; a CSV,
TSV, JSONL or Parquet table of paths or ids; or a data set of the Hub, which is streamed. An id is looked for in
--image_dir, and in its folders of the first characters, a/b/c/ and abc/. The other columns of a table are kept as
metadata, and the name of the folder that directly holds an image is kept as its label. After an interruption the
same command goes on. Several processes or machines share the work; the one that finishes last writes manifest.json,
which completes the folder.
Exit status: 0 if all images were embedded; 1 if some could not be read (bad_images.json lists them) or files that look
like images were not used (left_out.json counts them by reason); 2 for bad input.
With several processes it is 0 instead of 1, because 1 would end the other processes.
"""

from __future__ import annotations

from argparse import BooleanOptionalAction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..options.launch_options import add_launch_options
from ..options.model_options import add_model_options, model_settings
from ..output import add_output_options, labelled, output_of
from ..progress import hide_loading

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ...embedding.manifest import EmbeddingManifest

# Options that are arguments of `open_source` and of `write_embeddings`.
SOURCE_OPTIONS = (
    "image_column",
    "image_dir",
    "image_suffix",
    "allow_outside",
    "split",
    "dataset_config",
    "dataset_revision",
)
EMBEDDING_OPTIONS = ("batch_size", "stored_dtype", "file_format", "normalize", "dtype", "num_threads")
MAX_NAMED = 5  # unreadable images that are printed; bad_images.json lists all
LEFT_OUT = 1  # exit status


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ...embedding.choices import COMPUTE_DTYPES, FILE_FORMATS, SHARD_SIZE, STORED_DTYPES

    source = parser.add_argument_group("input")
    source.add_argument(
        "images",
        metavar="IMAGES",
        help="folder or pattern of images, table of paths, Parquet or tar files, or data set of the Hub",
    )
    source.add_argument(
        "--image_column", help="column of a table with the paths or images; default: image, path or file_name"
    )
    source.add_argument("--image_dir", help="folder of the images of a table; default: the folder of the table")
    source.add_argument("--image_suffix", help="ending to add to the names or ids in a table, such as .jpg")
    source.add_argument(
        "--allow_outside",
        action="store_true",
        help="read files outside the folder of a table, or outside a data set of the Hub, if it names them",
    )
    source.add_argument(
        "--images_per_shard", type=int, default=SHARD_SIZE, help="images of a folder or table in one file of vectors"
    )
    source.add_argument("--split", help="split of a data set of the Hub that has several")
    source.add_argument("--dataset_config", help="configuration of a data set of the Hub that has several")
    source.add_argument(
        "--dataset_revision", help="branch, tag or commit of a data set of the Hub; default: the newest commit"
    )
    model = add_model_options(parser, required=True)
    model.add_argument(
        "--dtype", choices=COMPUTE_DTYPES, default="auto", help="precision of the model; auto: the faster one"
    )
    model.add_argument("-b", "--batch_size", type=int, default=64, help="images embedded at once")
    model.add_argument("--num_threads", type=int, help="threads that decode images; default: one per CPU, at most 16")
    vectors = parser.add_argument_group("vectors")
    vectors.add_argument("-o", "--output_dir", required=True, help="new folder, or the folder of an interrupted run")
    vectors.add_argument(
        "--stored_dtype", choices=STORED_DTYPES, default="float32", help="precision of the stored vectors"
    )
    vectors.add_argument("--file_format", choices=FILE_FORMATS, default="parquet", help="format of the files")
    vectors.add_argument("--normalize", action=BooleanOptionalAction, default=True, help="scale vectors to unit length")
    add_launch_options(parser)
    share = parser.add_argument_group("several machines", "accelerate launch and torchrun set these")
    share.add_argument("--rank", type=int, help="index of this process, from 0")
    share.add_argument("--world_size", type=int, help="number of processes")
    add_output_options(parser)


def run(options: Namespace) -> int:
    """Embed the images, and report what was written; return 1 if images could not be read."""
    from ...embedding.process_share import own_device, own_rank
    from ...embedding.sources.opening import open_source
    from ...embedding.write_embeddings import write_embeddings
    from ...inference.load_model import load_model

    output = output_of(options)
    if not options.verbose:
        hide_loading()
    rank, world_size = own_rank(options.rank, options.world_size)
    given = {name: getattr(options, name) for name in SOURCE_OPTIONS}
    source = open_source(options.images, shard_size=options.images_per_shard, **given)
    settings = model_settings(options)
    settings.setdefault("device", str(own_device(fallback=rank)))
    model = load_model(options.model, **settings)
    manifest = write_embeddings(
        model,
        source,
        options.output_dir,
        rank=rank,
        world_size=world_size,
        model_name=options.model,
        **{name: getattr(options, name) for name in EMBEDDING_OPTIONS},
    )
    folder, num_shards = Path(options.output_dir), len(source.shards)
    if manifest is None:
        there = len(list(folder.glob("embeddings-*")))
        text = f"this process's share of {folder}; {there} of {num_shards} shards are there"
        output.result(labelled(("Embedded", text)), _facts(folder, None, num_shards))
        output.note(
            "Then", "wait for the other processes; the last one writes the manifest. Restart those that have ended"
        )
        return 0
    left_out = _left_out(folder)
    output.result(_text(folder, manifest, num_shards), _facts(folder, manifest, num_shards))
    if manifest.num_images:
        whole = folder.absolute()
        output.next(["hf-vitret", "index", whole, "--output_dir", whole.with_name(f"{whole.name}-index")])
    has_left_out = manifest.num_bad_images or any(one["is_image"] for one in left_out)
    return LEFT_OUT if has_left_out and world_size == 1 else 0


def _left_out(folder: Path) -> list[dict[str, Any]]:
    """Return the files of the input that were not used, by reason."""
    from ...embedding.write_embeddings import LEFT_OUT_NAME
    from ...files.json_values import read_json

    path = folder / LEFT_OUT_NAME
    return list(read_json(path)) if path.is_file() else []


def interruption(options: Namespace) -> str:
    """Describe what is kept after an interruption."""
    there = len(list(Path(options.output_dir).glob("embeddings-*")))
    return f"{there} finished shards are kept in {options.output_dir}; the same command goes on"


def _facts(folder: Path, manifest: EmbeddingManifest | None, num_shards: int) -> dict[str, Any]:
    """Return the content of the JSON object."""
    facts: dict[str, Any] = {"output_dir": str(folder), "is_complete": manifest is not None, "num_shards": num_shards}
    if manifest is not None:
        facts |= {name: getattr(manifest, name) for name in ("num_images", "num_bad_images", "dim", "dtype")}
        facts["left_out_files"] = _left_out(folder)
    return facts


def _text(folder: Path, manifest: EmbeddingManifest, num_shards: int) -> str:
    from ...data.catalogue.left_out import describe_left_out
    from ...files.json_values import read_json

    model = manifest.model
    unit = ", unit length" if manifest.normalized else ""
    lines = [
        ("Embedded", f"{manifest.num_images:,} images in {num_shards:,} shards: {folder}"),
        (
            "Vectors",
            f"{manifest.dim} x {manifest.dtype}{unit}, by {model.name}{f'@{model.revision}' if model.revision else ''}",
        ),
    ]
    if manifest.num_bad_images:
        bad = read_json(folder / "bad_images.json")
        lines.append(("Left out", f"{len(bad):,} images could not be read: {folder / 'bad_images.json'}"))
        lines += [("", f"{one['image_id']}: {one['error']}") for one in bad[:MAX_NAMED]]
    lines += [("Not used", line) for line in describe_left_out(_left_out(folder))]
    return labelled(*lines)
