"""Write an index to a folder, completely or not at all, and read it: its vectors, table of images and manifest."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...files.atomic_folders import readable_folder, whole_folder
from ...files.checksums import sha256_of
from ...files.locks import one_process
from ..backends.backend import load_backend
from ..backends.vector_backend import VectorBackend
from ..image_records import ImageRecords
from .index_manifest import IndexManifest

if TYPE_CHECKING:
    from pathlib import Path

VECTORS = {"faiss": "vectors.faiss", "torch": "vectors.npy"}
IMAGES = "images.parquet"


def save_index(folder: Path, backend: VectorBackend, records: ImageRecords, manifest: IndexManifest) -> IndexManifest:
    """Write an index to a folder, completely or not at all. It replaces an index that is there.

    Returns:
        The manifest that was written.

    Raises:
        FileExistsError: There is something else at this path.
    """
    if folder.exists() and not (folder / "index.json").is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(f"{folder} is there, and is no index: name another folder, or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with one_process(folder), whole_folder(folder) as partial:
        vectors = partial / VECTORS[backend.name]
        backend.save(vectors)
        records.save(partial / IMAGES)
        facts = {
            path.name: {"num_bytes": path.stat().st_size, "sha256": sha256_of(path)}
            for path in (vectors, partial / IMAGES)
        }
        manifest = replace(
            manifest,
            files=facts,
            num_images=len(records) - records.num_removed,
            num_removed=records.num_removed,
        )
        manifest.save(partial)
    return manifest


def load_index(folder: Path, *, memory_map: bool, verify: bool) -> tuple[VectorBackend, ImageRecords, IndexManifest]:
    """Read an index.

    Args:
        folder: The folder of the index.
        memory_map: Whether the vectors stay on the disk until a search reads them.
        verify: Whether to compare the checksums, which reads all files once.

    Raises:
        FileNotFoundError: The folder is not an index, or a file is missing.
        ValueError: A file has changed, or the files do not match.
        ImportError: faiss wrote the index and is not installed.
    """
    folder = readable_folder(folder)
    manifest = IndexManifest.load(folder)
    if manifest.backend not in VECTORS:
        raise ValueError(f"expected a backend of {', '.join(VECTORS)} in {folder}; got {manifest.backend!r}")
    vectors, images = folder / VECTORS[manifest.backend], folder / IMAGES
    # faiss parses its file in C++, and a wrong byte can crash it: only files that `save` wrote are parsed.
    for path in (vectors, images):
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing: copy the whole folder again, or index again")
        facts = manifest.files.get(path.name, {})
        if path.stat().st_size != facts.get("num_bytes") or (verify and sha256_of(path) != facts.get("sha256")):
            raise ValueError(f"{path} is not what it was when it was written: copy it again, or index again")
    backend = load_backend(manifest.backend, manifest.kind, vectors, memory_map=memory_map)
    backend.use_settings(manifest.quality.settings)
    records = ImageRecords.load(images)
    if (backend.num_vectors, backend.dim) != (len(records), manifest.dim):
        raise ValueError(
            f"expected {len(records):,} vectors of {manifest.dim} dimensions in {folder}, as its table says; got "
            f"{backend.num_vectors:,} of {backend.dim}: index again"
        )
    return backend, records, manifest
