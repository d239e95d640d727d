"""`ImageIndex`: build an index from embeddings, search it, change it, save it to a folder and load it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..embedding.shards import PATH_COLUMN, EmbeddingFolder
from ..files.atomic_folders import readable_folder
from ..files.checksums import sha256_of
from .backends.array_inputs import Block, as_block, has_unit_norm
from .backends.backend import backend_of, load_backend
from .building.index_build import blocks_of_folder, fill_index, slices
from .building.index_choice import DEFAULT_MEMORY, DEFAULT_QUERIES, DEFAULT_RECALL, choose_index
from .building.index_files import VECTORS, load_index, save_index
from .building.index_manifest import MANIFEST_NAME, IndexManifest
from .image_records import ids_column
from .index_search import SearchableIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from os import PathLike

    import pyarrow as pa
    import torch

    from ..embedding.model_identity import ModelIdentity
    from ..evaluation.matching.match_rates import MatchRates


class ImageIndex(SearchableIndex):
    """An index that finds the images with the largest inner products to a query, and returns their ids.

        index = ImageIndex.build(embeddings, ids)
        scores, found = index.search(queries, k=10)             # (num_queries, 10) each
        index.save("index"); index = ImageIndex.load("index")

    Create one with `build`, `build_from` or `load`.

    Attributes:
        manifest: The facts of the index: its kind, dimension and model, and what was measured.
        choice: The plans that the index was chosen from; None for an index that was loaded.
    """

    _mapped: Path | None = None

    @classmethod
    def build(
        cls,
        embeddings: torch.Tensor | np.ndarray,
        ids: Sequence[str] | Sequence[int] | np.ndarray,
        *,
        metadata: Mapping[str, Sequence[Any]] | pa.Table | None = None,
        model: ModelIdentity | None = None,
        kind: str | None = None,
        memory_budget: int = DEFAULT_MEMORY,
        target_recall: float = DEFAULT_RECALL,
        backend: str | None = None,
        num_queries: int = DEFAULT_QUERIES,
        seed: int = 0,
        match_rates: MatchRates | None = None,
        progress: bool = False,
    ) -> ImageIndex:
        """Build an index from embeddings in memory.

        Args:
            embeddings: `(num_images, dim)` float, finite. With unit norm the scores are cosines.
            ids: `(num_images,)` unique ids: strings, or integers of at least 0.
            metadata: Columns by name, with one value per image, which the `where` of a search filters on.
            model: The model that made the embeddings. A search then refuses queries of another model.
            kind: `"flat"` (exact), `"hnsw"` or `"ivfpq"`. None: the first that suits; see `choose_index`.
            memory_budget: Number of bytes that the index may take, without ids and metadata.
            target_recall: Share of the ten exact neighbours that a search must find, above 0, up to 1. 1 makes the
                search exact.
            backend: `"faiss"`, or `"torch"`, which is always exact. None: faiss if it is installed.
            num_queries: Number of images that are drawn at random as queries, to tune the search and to measure it.
            seed: Seed of this draw and of the training.
            match_rates: Thresholds at which two images match, which the index stores.
            progress: Whether to show progress bars.

        Returns:
            The index.

        Raises:
            TypeError: The embeddings are not floats, or the ids are neither all strings nor all integers.
            ValueError: An embedding is not finite, an id occurs twice, the numbers of embeddings, ids and metadata
                differ, or no kind of index fits the memory budget and the target.
            ImportError: faiss was requested and is not installed.

        Example:
            >>> index = ImageIndex.build(np.eye(3, dtype=np.float32), ["cup", "jug", "pot"], backend="torch")
            >>> scores, ids = index.search(np.array([[0.0, 0.6, 0.8]], dtype=np.float32), k=2)
            >>> ids.tolist(), [round(float(score), 4) for score in scores[0]]
            ([['pot', 'jug']], [0.8, 0.6])
        """
        block = as_block(embeddings, ids, metadata)
        dim = block.embeddings.shape[1]
        return cls._build(
            lambda: slices(block),
            len(block.embeddings),
            dim,
            normalized=has_unit_norm(block.embeddings),
            model=model,
            match_rates=match_rates,
            locations={},
            choosing={"kind": kind, "memory_budget": memory_budget, "target_recall": target_recall},
            filling={"backend": backend, "num_queries": num_queries, "seed": seed, "progress": progress},
        )

    @classmethod
    def build_from(
        cls,
        folder: str | PathLike[str],
        *,
        kind: str | None = None,
        memory_budget: int = DEFAULT_MEMORY,
        target_recall: float = DEFAULT_RECALL,
        backend: str | None = None,
        num_queries: int = DEFAULT_QUERIES,
        seed: int = 0,
        match_rates: MatchRates | None = None,
        progress: bool = True,
        verify: bool = True,
    ) -> ImageIndex:
        """Build an index from a folder of embeddings, with a few thousand rows in memory at a time.

        Args:
            folder: A folder that `hf-vitret embed` wrote. The index keeps its metadata columns.
            kind: `"flat"` (exact), `"hnsw"` or `"ivfpq"`. None: the first that suits; see `choose_index`.
            memory_budget: Number of bytes that the index may take, without ids and metadata.
            target_recall: Share of the ten exact neighbours that a search must find, above 0, up to 1. 1 makes the
                search exact.
            backend: `"faiss"`, or `"torch"`, which is always exact. None: faiss if it is installed.
            num_queries: Number of images that are drawn at random as queries, to tune the search and to measure it.
            seed: Seed of this draw and of the training.
            match_rates: Thresholds at which two images match, which the index stores.
            progress: Whether to show progress bars.
            verify: Whether to compare the checksums of the shards first, which reads all of them once more.

        Returns:
            The index.

        Raises:
            FileNotFoundError: The folder is not a folder of embeddings, or is not finished.
            ValueError: A shard has changed, an id occurs twice, or no kind of index fits the memory budget and the
                target.
            ImportError: faiss was requested and is not installed.
        """
        source = EmbeddingFolder(folder)
        if verify:
            source.check_files()
        if not source.num_images:
            raise ValueError(
                f"expected embeddings in {folder}; it has none: read bad_images.json in it for the reasons"
            )
        return cls._build(
            lambda: blocks_of_folder(source),
            source.num_images,
            source.dim,
            normalized=source.manifest.normalized,
            model=source.manifest.model,
            match_rates=match_rates,
            locations=source.locations,
            choosing={"kind": kind, "memory_budget": memory_budget, "target_recall": target_recall},
            filling={"backend": backend, "num_queries": num_queries, "seed": seed, "progress": progress},
        )

    @classmethod
    def _build(
        cls,
        blocks: Callable[[], Iterator[Block]],
        num_vectors: int,
        dim: int,
        *,
        normalized: bool,
        model: ModelIdentity | None,
        match_rates: MatchRates | None,
        locations: Mapping[str, str],
        choosing: dict[str, Any],
        filling: dict[str, Any],
    ) -> ImageIndex:
        filling["backend"] = backend_of(filling["backend"])
        if filling["backend"] == "torch" and choosing["kind"] is None:
            choosing["kind"] = "flat"
        choice = choose_index(num_vectors, dim, is_normalized=normalized, **choosing)
        backend, records, quality = fill_index(blocks, dim, choice, **filling)
        plan = choice.chosen
        facts = (plan.kind, plan.factory, backend.name, dim, normalized, quality, model, match_rates)
        manifest = IndexManifest(*facts, locations=locations)
        return cls(backend, records, manifest, choice)

    def add(
        self,
        embeddings: torch.Tensor | np.ndarray,
        ids: Sequence[str] | Sequence[int] | np.ndarray,
        *,
        metadata: Mapping[str, Sequence[Any]] | pa.Table | None = None,
        model: ModelIdentity | None = None,
    ) -> None:
        """Add images.

        The index keeps the cells and codes that it learned when it was built, and the measured recall and latency.
        Build it again if most of the images have changed.

        Args:
            embeddings: `(num_images, dim)` float, finite; with unit norm if those of the index have it.
            ids: `(num_images,)` unique ids that are not in the index, of the same type as its ids.
            metadata: Columns by name, with one value per image: the same columns as in the index.
            model: The model that made the embeddings. None: not checked.

        Raises:
            TypeError: The embeddings are not floats, or the ids are of another type than those of the index.
            ValueError: An id is in the index already or occurs twice, a column is missing, an embedding is not finite
                or has another dimension or norm, another model made the embeddings, or the files that are mapped into
                memory were replaced.
        """
        if model is not None:
            self.check_model(model)
        block = as_block(embeddings, ids, metadata, self.manifest.dim)
        if self.manifest.normalized and not has_unit_norm(block.embeddings):
            raise ValueError(
                "expected embeddings with unit L2 norm, like those of the index; got others: normalise them"
            )
        self._records.check_new(block.table)
        self._load_into_memory()
        self._backend.add(block.embeddings)
        self._records.append(block.table)

    def add_from(self, folder: str | PathLike[str], *, verify: bool = True) -> None:
        """Add a folder of embeddings, a few thousand rows at a time.

        Args:
            folder: A folder that `hf-vitret embed` wrote, with the metadata columns of the index.
            verify: Whether to compare the checksums of the shards first, which reads all of them once more.

        Raises:
            FileNotFoundError: The folder is not a folder of embeddings, or is not finished.
            TypeError: The ids are of another type than those of the index.
            ValueError: A shard has changed, an id is in the index already or occurs twice, the columns differ, another
                model made the embeddings, or the files that are mapped into memory were replaced. Nothing was added.
        """
        import pyarrow as pa

        source = EmbeddingFolder(folder)
        self.check_model(source.manifest.model)
        if self.manifest.normalized and not source.manifest.normalized:
            raise ValueError(f"expected embeddings with unit L2 norm, like those of the index; {folder} has others")
        if verify:
            source.check_files()
        tables = [block.table for block in blocks_of_folder(source)]
        if not tables:
            return
        table, num_added = pa.concat_tables(tables), 0
        self._records.check_new(table)
        self._load_into_memory()
        try:
            for block in blocks_of_folder(source):
                self._backend.add(block.embeddings)
                num_added += len(block.embeddings)
        finally:  # also after an error, each vector has its row
            self._records.append(table.slice(0, num_added))

    def remove(self, ids: Sequence[str] | Sequence[int] | np.ndarray) -> None:
        """Remove images, so that no search finds them. Their vectors take memory until the index is built again.

        Args:
            ids: Ids of images in the index.

        Raises:
            ValueError: An id is not in the index. No image is removed.
            TypeError: The ids are strings and those of the index are integers, or the reverse.
        """
        positions = self._records.positions_of(ids)
        if (positions < 0).any():
            unknown = ids_column(ids).to_numpy(zero_copy_only=False)[positions < 0][:5].tolist()
            raise ValueError(f"not in the index: {', '.join(map(str, unknown))}; nothing was removed")
        self._records.remove(positions)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write the index to a folder, completely or not at all. It replaces an index that is there.

        Args:
            folder: The folder to write; created if it does not exist.

        Returns:
            The path of the folder.

        Raises:
            FileExistsError: There is something else at this path.
        """
        path = Path(folder)
        self.manifest = save_index(path, self._backend, self._records, self.manifest)
        return path

    @classmethod
    def load(cls, folder: str | PathLike[str], *, memory_map: bool = True, verify: bool = True) -> ImageIndex:
        """Read an index that `save` wrote.

        Args:
            folder: The folder of the index. Load only an index of someone you trust: faiss parses its file in C++. The
                checksums show that the files are those that were written, not who wrote them.
            memory_map: Whether the vectors stay on the disk until a search reads them.
            verify: Whether to compare the checksums, which reads all files once.

        Returns:
            The index.

        Raises:
            FileNotFoundError: The folder is not an index, or a file is missing.
            ValueError: A file has changed, or another version of this package wrote it.
            ImportError: faiss wrote the index and is not installed.
        """
        path = Path(folder)
        index = cls(*load_index(path, memory_map=memory_map, verify=verify))
        index._mapped = path if memory_map else None
        return index

    def with_match_rates(self, match_rates: MatchRates) -> ImageIndex:
        """Store the thresholds at which two images match, and return this index.

        Args:
            match_rates: What `match_rates` measured with the model of the index.
        """
        self.manifest = replace(self.manifest, match_rates=match_rates)
        return self

    @property
    def has_model_at_hand(self) -> bool:
        """Whether the manifest names a model that can be loaded: one on the Hub, or a folder that still exists."""
        facts = self.manifest
        is_on_hub = facts.model is not None and facts.model.revision is not None
        return is_on_hub or ("model" in facts.locations and Path(facts.locations["model"]).is_dir())

    def example_file(self) -> Path | None:
        """Return the file of the first image that was not removed; `None` if there is no such file on this machine."""
        positions = np.flatnonzero(~self._records.is_removed)[:1]
        if not len(positions) or "images" not in self.manifest.locations:
            return None
        (row,) = self._records.rows(positions.tolist())
        file = Path(self.manifest.locations["images"], row.get(PATH_COLUMN) or "")
        return file if file.is_file() else None

    def _load_into_memory(self) -> None:
        """Read the vectors into memory, because a mapped file cannot grow."""
        if self._mapped is None:
            return
        facts = self.manifest
        path = self._mapped / VECTORS[facts.backend]
        if sha256_of(path) != facts.files[path.name]["sha256"]:
            raise ValueError(f"{path} was replaced since the index was loaded: load the index again, then add")
        self._backend = load_backend(facts.backend, facts.kind, path, memory_map=False)
        self._backend.use_settings(facts.quality.settings)
        self._mapped = None


def is_index(folder: str | PathLike[str]) -> bool:
    """Return whether a folder is an index that `ImageIndex.save` wrote."""
    return (readable_folder(Path(folder)) / MANIFEST_NAME).is_file()
