"""`write_embeddings`: embed any number of images to a folder, by one or more processes that can be stopped any time."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from ..data.catalogue.left_out import LeftOut
from ..files.checksums import sha256_of
from ..files.json_values import write_json
from ..files.locks import one_process
from ..inference.forward import check_finite
from ..inference.load_model import load_model
from .choices import FILE_FORMATS
from .image_encoder import ImageEncoder
from .locations import write_locations
from .manifest import MANIFEST_NAME, EmbeddingManifest, ShardFacts
from .model_identity import ModelIdentity, model_folder
from .prefetching import PixelBatch, prefetch_batches
from .process_share import own_device, own_rank
from .run_settings import RunSettings, begin_folder
from .shard_files import open_shard, read_left_out, read_notes, shard_path
from .shards import ids_path
from .sources.opening import open_source
from .sources.source import ImageSource
from .stored_values import check_stored_dtype, scale_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from os import PathLike

BAD_IMAGES_NAME = "bad_images.json"
LEFT_OUT_NAME = "left_out.json"


def write_embeddings(
    model: nn.Module | str | PathLike[str],
    images: str | PathLike[str] | ImageSource,
    output_dir: str | PathLike[str],
    *,
    batch_size: int = 64,
    stored_dtype: str = "float32",
    file_format: str = "parquet",
    normalize: bool = True,
    dtype: str = "auto",
    num_threads: int | None = None,
    rank: int | None = None,
    world_size: int | None = None,
    model_name: str | None = None,
    progress: bool = True,
) -> EmbeddingManifest | None:
    """Embed images to a folder, with one file of vectors for each shard of the input, and a manifest.

    After an interruption, call it again with the same arguments: finished shards are kept, and the result has the same
    bytes on the same kind of machine. Several processes (`accelerate launch`, or one on each machine with `rank` and
    `world_size`) divide the shards and do not wait for each other; the process that finishes last writes the manifest.

    Args:
        model: A `ViTRetModel`, or the folder or Hub id of a checkpoint or of a vision backbone.
        images: A source from `open_source`; or a folder, a pattern, a table of paths, Parquet files or tar archives of
            images, or the id of a data set on the Hub.
        output_dir: The folder to write, with `embeddings-00000.parquet` ..., `bad_images.json`, `settings.json`,
            `locations.json` and `manifest.json`, and `left_out.json` if the input holds files that are not used
            (`LeftOut.to_json`). `EmbeddingFolder` reads it.
        batch_size: Number of images that are embedded at once.
        stored_dtype: Data type in which the vectors are stored: `"float32"`, `"float16"`, or `"int8"`, which is 127
            times the component of a unit vector, rounded.
        file_format: `"parquet"`; or `"npy"`: vectors in `embeddings-00000.npy`, and ids in `ids-00000.parquet`.
        normalize: False stores the vectors before L2 normalisation.
        dtype: Data type in which the model computes: `"auto"` (bfloat16 if it is faster than float32 on the device),
            `"float32"`, `"bfloat16"` or `"float16"`.
        num_threads: Number of threads that decode images. `None`: one per CPU, at most 16.
        rank: Rank of this process, from 0. `None`: that of the launcher, or 0.
        world_size: Number of processes. `None`: that of the launcher, or 1.
        model_name: Folder or Hub id from which `model` was loaded, for the manifest and for later searches. `None`: the
            one in its configuration.
        progress: Whether to show a progress bar.

    Returns:
        The manifest; `None` if shards of other processes are still missing.

    Raises:
        FileNotFoundError: There is no such input.
        FileExistsError: There is something else at `output_dir`.
        OSError: There is no such model.
        TypeError: `normalize` is False and the model does not return vectors before L2 normalisation.
        ValueError: A setting is outside its domain, `output_dir` was made with another model, other settings or another
            input (the message says which), an archive or a table is damaged, or an embedding is not finite.
    """
    check_stored_dtype(stored_dtype, normalize=normalize)
    if file_format not in FILE_FORMATS:
        raise ValueError(f"expected a file_format of {', '.join(FILE_FORMATS)}; got {file_format!r}")
    if batch_size < 1:
        raise ValueError(f"expected a batch_size of at least 1 image; got {batch_size}")
    rank, world_size = own_rank(rank, world_size)
    source = images if isinstance(images, ImageSource) else open_source(images)
    if not isinstance(model, nn.Module):
        model_name = model_name or str(model)
        model = load_model(str(model), device=str(own_device(fallback=rank)))
    encoder = ImageEncoder(model, dtype=dtype, normalize=normalize)
    settings = RunSettings(
        model=ModelIdentity.of(model, name=model_name),
        options={
            "dim": encoder.dim,
            "stored_dtype": stored_dtype,
            "file_format": file_format,
            "normalize": normalize,
            "dtype": str(encoder.dtype).removeprefix("torch."),
            "batch_size": batch_size,
        },
        input_name=source.name,
        input_fingerprint=source.fingerprint,
        num_shards=len(source.shards),
    )
    folder = Path(output_dir)
    begin_folder(folder, settings)
    paths = [shard_path(folder, number, file_format) for number in range(len(source.shards))]
    missing = [number for number in range(rank, len(paths), world_size) if not paths[number].exists()]
    _embed_shards(encoder, source, missing, paths, settings.options, num_threads, progress)
    manifest = _finish(folder, paths, source, settings)
    if manifest is not None:
        write_locations(folder, model_folder(model, model_name), source.root)
    return manifest


def _embed_shards(
    encoder: ImageEncoder,
    source: ImageSource,
    numbers: list[int],
    paths: list[Path],
    options: dict[str, Any],
    num_threads: int | None,
    progress: bool,
) -> None:
    """Embed shards of a source. Each gets its file name when it is complete."""
    from tqdm.auto import tqdm

    sizes = [source.shards[number].num_rows for number in numbers]
    total = None if None in sizes else sum(size for size in sizes if size is not None)
    batches = prefetch_batches(
        ((number, source.shards[number]) for number in numbers),
        lambda row: encoder.read_pixels(row.stored),
        batch_size=options["batch_size"],
        num_threads=num_threads,
        pin_memory=encoder.device.type == "cuda",
    )
    bar = tqdm(total=total, desc="Embedding", unit="img", disable=not progress or not numbers)
    with bar, encoder.evaluating():
        for number, parts in groupby(_embedded(encoder, batches), key=lambda part: part[0].shard):
            with one_process(paths[number]):
                if paths[number].exists():  # another process with the same rank was faster
                    continue
                with open_shard(paths[number], source.columns, encoder.dim, options["stored_dtype"]) as shard:
                    for batch, embeddings in parts:
                        shard.write(batch.rows, embeddings, batch.bad)
                        bar.update(len(batch.rows) + len(batch.bad))
                    shard.leave_out(source.shards[number].left_out)


def _embedded(encoder: ImageEncoder, batches: Iterator[PixelBatch]) -> Iterator[tuple[PixelBatch, np.ndarray]]:
    """Yield each batch with its embeddings, `(rows, dim)` float32, while the device works on the next batch."""
    waiting = None
    for batch in batches:
        launched = (batch, None if batch.pixels is None else encoder.encode(batch.pixels))
        if waiting is not None:
            yield _fetch(encoder, *waiting)
        waiting = launched
    if waiting is not None:
        yield _fetch(encoder, *waiting)


def _fetch(encoder: ImageEncoder, batch: PixelBatch, embeddings: Any) -> tuple[PixelBatch, np.ndarray]:
    if embeddings is None:
        return batch, np.empty((0, encoder.dim), np.float32)
    fetched = embeddings.cpu()  # (B, D)
    check_finite(fetched)
    return batch, fetched.numpy()


def _finish(folder: Path, paths: list[Path], source: ImageSource, settings: RunSettings) -> EmbeddingManifest | None:
    """Write the manifest if all shards are complete. Every process writes the same manifest."""
    if not all(path.exists() for path in paths):
        return None
    with one_process(folder / MANIFEST_NAME):
        if (folder / MANIFEST_NAME).exists():
            return EmbeddingManifest.load(folder)
        notes = [read_notes(path) for path in paths]
        bad = [asdict(one) for _, bad_images in notes for one in bad_images]
        shards = tuple(
            ShardFacts(
                path.name,
                num_rows,
                sha256_of(path),
                shard.name,
                sha256_of(ids_path(path)) if path.suffix == ".npy" else None,
            )
            for path, shard, (num_rows, _) in zip(paths, source.shards, notes)
        )
        manifest = EmbeddingManifest(
            model=settings.model,
            dim=settings.options["dim"],
            dtype=settings.options["stored_dtype"],
            scale=scale_of(settings.options["stored_dtype"]),
            normalized=settings.options["normalize"],
            num_images=sum(num_rows for num_rows, _ in notes),
            num_bad_images=len(bad),
            shards=shards,
            columns=tuple(source.columns.names),
        )
        write_json(folder / BAD_IMAGES_NAME, bad)
        left_out = LeftOut()
        left_out.merge(source.left_out)
        for path, shard in zip(paths, source.shards):
            left_out.merge(read_left_out(path), f"{shard.name}/")
        if left_out.counts:
            write_json(folder / LEFT_OUT_NAME, left_out.to_json())
        manifest.save(folder)
        for lock in folder.glob("embeddings-*.lock"):  # left by processes that were killed
            with suppress(PermissionError):  # Windows does not remove an open file
                lock.unlink(missing_ok=True)
        return manifest
