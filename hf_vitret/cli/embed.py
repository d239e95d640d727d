"""Embed images, as many as there are, into a folder of vectors: what an index is built from.

  hf-vitret embed user/model photos --output_dir photos-embeddings
  hf-vitret embed outputs/run/final 'photos/**/*.jpg' --output_dir E --stored_dtype float16
  hf-vitret embed user/model products.csv --image_column file --output_dir E
  hf-vitret embed user/model 'shards/*.tar' --output_dir E --json
  hf-vitret embed user/model user/photos --split train --output_dir E
  accelerate launch -m hf_vitret.cli.main embed user/model photos --output_dir E
  hf-vitret embed user/model photos --output_dir /shared/E --rank 3 --world_size 8

The input is a folder of images, of Parquet files or of tar archives (WebDataset); a pattern of files, in quotes; a CSV,
TSV or Parquet file of paths, whose other columns travel along; or a data set of the Hub, which is streamed. The same
command goes on with what an interrupted one left. Several processes or machines share the work by launching it with
accelerate, or with a --rank each; who finishes last writes manifest.json, and the folder is whole.
Exit status: 0 where all images were embedded, 1 where some could not be read (they are listed in bad_images.json), 2
where the input is at fault. One process of several gives 0 in the place of 1, which would end the others.
"""

from __future__ import annotations

import json
import shlex
import sys
from argparse import BooleanOptionalAction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ..embedding.manifest import EmbeddingManifest

# Those that are handed on as they are: to `open_source`, to `load_model` and to `write_embeddings`.
SOURCE_OPTIONS = ("shard_size", "image_column", "split", "dataset_config", "dataset_revision")
MODEL_OPTIONS = ("revision", "backbone_pooling", "image_size")
EMBEDDING_OPTIONS = ("batch_size", "stored_dtype", "file_format", "normalize", "dtype", "num_threads")
MAX_NAMED = 5  # bad images that are named; all are in the list


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ..embedding.choices import COMPUTE_DTYPES, FILE_FORMATS, SHARD_SIZE, STORED_DTYPES

    parser.add_argument("model", help="folder or Hub id of a ViTRet model, or of a vision backbone")
    parser.add_argument("images", help="a folder, a pattern, a table, Parquet or tar files, a data set of the Hub")
    parser.add_argument("--output_dir", required=True, help="folder to make, or to go on with")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, and nothing else")
    model = parser.add_argument_group("model")
    model.add_argument("--revision", help="of the model: branch, tag or commit")
    model.add_argument("--backbone_pooling", default="cls", help="of a plain backbone; a checkpoint keeps its own")
    model.add_argument("--image_size", type=int, help="pixels; default: the model's")
    model.add_argument("--dtype", choices=COMPUTE_DTYPES, default="auto", help="in which it computes; auto: the faster")
    model.add_argument("--batch_size", type=int, default=64, help="images a step")
    model.add_argument("--num_threads", type=int, help="threads that decode; default: one per CPU, 16 at most")
    source = parser.add_argument_group("input")
    source.add_argument("--image_column", help="of a table; default: image, path or file_name")
    source.add_argument("--shard_size", type=int, default=SHARD_SIZE, help="images of a folder or table in one shard")
    source.add_argument("--split", help="of a data set of the Hub, where it has several")
    source.add_argument("--dataset_config", help="of a data set of the Hub, where it has several")
    source.add_argument("--dataset_revision", help="branch, tag or commit; default: the newest commit")
    output = parser.add_argument_group("output")
    output.add_argument("--stored_dtype", choices=STORED_DTYPES, default="float32", help="of the vectors in the files")
    output.add_argument("--file_format", choices=FILE_FORMATS, default="parquet", help="of the files")
    output.add_argument("--normalize", action=BooleanOptionalAction, default=True, help="to unit length")
    share = parser.add_argument_group("several machines", "set by accelerate launch and torchrun by themselves")
    share.add_argument("--rank", type=int, help="number of this process, from 0")
    share.add_argument("--world_size", type=int, help="number of processes")


def run(options: Namespace) -> int:
    """Embed and say what was written; return 1 where images could not be read."""
    from ..embedding.loaded_model import load_on
    from ..embedding.process_share import own_device, own_rank
    from ..embedding.sources.opening import open_source
    from ..embedding.write_embeddings import write_embeddings

    rank, world_size = own_rank(options.rank, options.world_size)
    source = open_source(options.images, **{name: getattr(options, name) for name in SOURCE_OPTIONS})
    given = {name: getattr(options, name) for name in MODEL_OPTIONS}
    model = load_on(options.model, own_device(fallback=rank), **given)
    manifest = write_embeddings(
        model,
        source,
        options.output_dir,
        rank=rank,
        world_size=world_size,
        model_name=options.model,
        **{name: getattr(options, name) for name in EMBEDDING_OPTIONS},
    )
    if options.json:
        sys.stdout.write(json.dumps(_facts(options.output_dir, manifest, len(source.shards)), indent=2) + "\n")
    else:
        sys.stdout.write(_report(Path(options.output_dir), manifest, len(source.shards)))
    return int(manifest is not None and manifest.num_bad_images > 0 and world_size == 1)


def _facts(output_dir: str, manifest: EmbeddingManifest | None, num_shards: int) -> dict[str, Any]:
    """Return what `--json` prints."""
    facts: dict[str, Any] = {"output_dir": output_dir, "is_complete": manifest is not None, "num_shards": num_shards}
    if manifest is not None:
        facts |= {name: getattr(manifest, name) for name in ("num_images", "num_bad_images", "dim", "dtype")}
    return facts


def _report(folder: Path, manifest: EmbeddingManifest | None, num_shards: int) -> str:
    if manifest is None:
        there = len(list(folder.glob("embeddings-*")))
        return (
            f"Embedded   this process's share of {folder}; {there} of {num_shards} shards are there\n"
            "Next       wait for the other processes, or start again those that ended early; the last one writes the "
            "manifest\n"
        )
    model = manifest.model
    lines = [
        f"Embedded   {manifest.num_images:,} images in {num_shards:,} shards: {folder}",
        f"Vectors    {manifest.dim} x {manifest.dtype}{', unit length' if manifest.normalized else ''}, by "
        f"{model.name}{f'@{model.revision}' if model.revision else ''}",
    ]
    if manifest.num_bad_images:
        bad_path = folder / "bad_images.json"
        bad = json.loads(bad_path.read_text(encoding="utf-8"))
        lines.append(f"Bad        {len(bad):,} images could not be read: {bad_path}")
        lines += [f"           {one['image_id']}: {one['error']}" for one in bad[:MAX_NAMED]]
    lines.append(f"Next       {shlex.join(['hf-vitret', 'index', str(folder)])}")
    return "\n".join(lines) + "\n"
