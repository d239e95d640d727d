"""An index of images: built from embeddings, searched by them, kept as a folder."""

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
    """Nearest images by inner product, under their own ids.

        index = ImageIndex.build(embeddings, ids)
        scores, found = index.search(queries, k=10)             # (num_queries, 10) each
        index.save("index"); index = ImageIndex.load("index")

    Make one with `build`, `build_from` or `load`; see `SearchableIndex` for what it has and answers.
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
        """Index embeddings that are in memory.

        Args:
            embeddings: `(num_images, dim)` float, finite; of unit norm for cosines.
            ids: `(num_images,)`, each once: strings, or integers of 0 or more.
            metadata: Columns by name, one value an image: what `where` filters on.
            model: Which model made the embeddings: queries of another one are then refused.
            kind: `"flat"` (exact), `"hnsw"` or `"ivfpq"`. None: the first that suits; see `choose_index`.
            memory_budget: Bytes that the index may take, ids and metadata apart.
            target_recall: Share of the ten exact neighbours that a search must find; at 1 it is exact.
            backend: `"faiss"` or `"torch"`, which is always exact. None: faiss where it is installed.
            num_queries: Images drawn to tune the search and to measure it.
            seed: Of the draw and of the training.
            match_rates: From which score on two images match.
            progress: Whether to show bars.

        Raises:
            TypeError: Embeddings are not floats, or ids of neither kind.
            ValueError: An embedding is not finite, an id comes twice, numbers do not match, or nothing suits.
            ImportError: faiss is asked for, and is not installed.

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
        """Index a folder of embeddings, of which a few thousand rows are in memory at a time; settings as for `build`.

        Args:
            folder: What `hf-vitret embed` wrote. Its metadata columns are taken along.
            kind: As for `build`, as are the others.
            memory_budget: As for `build`.
            target_recall: As for `build`.
            backend: As for `build`.
            num_queries: As for `build`.
            seed: As for `build`.
            match_rates: As for `build`.
            progress: As for `build`.
            verify: Whether to compare the shards' checksums first, for which all of them are read once more.

        Raises:
            FileNotFoundError: The folder is none of embeddings, or is not finished.
            ValueError: A shard has changed; or as for `build`.
            ImportError: As for `build`.
        """
        source = EmbeddingFolder(folder)
        if verify:
            source.check_files()
        if not source.num_images:
            raise ValueError(f"expected embeddings in {folder}; it has none: bad_images.json there says why")
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
        """Add images; arguments as for `build`.

        Cells and codes stay those that were learned when the index was built, and what was measured stays what it was:
        build again where most of the images have changed.

        Raises:
            ValueError: An id is there already, a column is missing, a vector has no unit norm where all others have, or
                the files that are mapped into memory were replaced; or as for `search`.
            TypeError: As for `build`.
        """
        if model is not None:
            self.check_model(model)
        block = as_block(embeddings, ids, metadata, self.manifest.dim)
        if self.manifest.normalized and not has_unit_norm(block.embeddings):
            raise ValueError("expected embeddings of unit L2 norm, as those of the index; got others: normalise them")
        self._records.check_new(block.table)
        self._load_into_memory()
        self._backend.add(block.embeddings)
        self._records.append(block.table)

    def add_from(self, folder: str | PathLike[str], *, verify: bool = True) -> None:
        """Add a folder of embeddings, a few thousand rows at a time.

        Args:
            folder: As for `build_from`.
            verify: As for `build_from`.

        Raises:
            ValueError: As for `add`, or a shard has changed; nothing was added.
            FileNotFoundError: As for `build_from`.
        """
        import pyarrow as pa

        source = EmbeddingFolder(folder)
        self.check_model(source.manifest.model)
        if self.manifest.normalized and not source.manifest.normalized:
            raise ValueError(f"expected embeddings of unit L2 norm, as those of the index; {folder} has others")
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
        finally:  # whatever happens, each vector has its row
            self._records.append(table.slice(0, num_added))

    def remove(self, ids: Sequence[str] | Sequence[int] | np.ndarray) -> None:
        """Remove images: no search finds them any more. Their vectors keep their place until the index is built again.

        Raises:
            ValueError: An id is not in the index; none is removed then.
            TypeError: Ids are of the other kind.
        """
        positions = self._records.positions_of(ids)
        if (positions < 0).any():
            unknown = ids_column(ids).to_numpy(zero_copy_only=False)[positions < 0][:5].tolist()
            raise ValueError(f"not in the index: {', '.join(map(str, unknown))}; nothing was removed")
        self._records.remove(positions)

    def save(self, folder: str | PathLike[str]) -> Path:
        """Write the index into a folder, whole or not at all, in the place of an index that was there.

        Raises:
            FileExistsError: The folder is there, and is no index.
        """
        path = Path(folder)
        self.manifest = save_index(path, self._backend, self._records, self.manifest)
        return path

    @classmethod
    def load(cls, folder: str | PathLike[str], *, memory_map: bool = True, verify: bool = True) -> ImageIndex:
        """Read what `save` wrote.

        Args:
            folder: Where it is. Only take an index of someone you trust: faiss parses its file in C++. The checksums
                tell that it is the one that was written, not by whom.
            memory_map: Whether vectors stay on the disk until a search reads them.
            verify: Whether to compare checksums, for which all of it is read once.

        Raises:
            FileNotFoundError: It is no index, or is not whole.
            ValueError: A file has changed, or another version wrote it.
            ImportError: It was written by faiss, which is not installed.
        """
        path = Path(folder)
        index = cls(*load_index(path, memory_map=memory_map, verify=verify))
        index._mapped = path if memory_map else None
        return index

    def with_match_rates(self, match_rates: MatchRates) -> ImageIndex:
        """Return the same index, which knows from which score on two images match."""
        self.manifest = replace(self.manifest, match_rates=match_rates)
        return self

    @property
    def has_model_at_hand(self) -> bool:
        """Whether the model that made the embeddings is found without being named: on the Hub, or where it lay."""
        facts = self.manifest
        is_on_hub = facts.model is not None and facts.model.revision is not None
        return is_on_hub or ("model" in facts.locations and Path(facts.locations["model"]).is_dir())

    def example_file(self) -> Path | None:
        """Return the file of the first image that a search can find, `None` where no file of it is on this machine."""
        positions = np.flatnonzero(~self._records.is_removed)[:1]
        if not len(positions) or "images" not in self.manifest.locations:
            return None
        (row,) = self._records.rows(positions.tolist())
        file = Path(self.manifest.locations["images"], row.get(PATH_COLUMN) or "")
        return file if file.is_file() else None

    def _load_into_memory(self) -> None:
        """Take the vectors into memory: what is mapped cannot grow."""
        if self._mapped is None:
            return
        facts = self.manifest
        path = self._mapped / VECTORS[facts.backend]
        if sha256_of(path) != facts.files[path.name]["sha256"]:
            raise ValueError(f"{path} was replaced since the index was loaded: load it again, then add")
        self._backend = load_backend(facts.backend, facts.kind, path, memory_map=False)
        self._backend.set_effort(facts.quality.settings)
        self._mapped = None


def is_index(folder: str | PathLike[str]) -> bool:
    """Return whether a folder holds an index that `ImageIndex.save` has written."""
    return (readable_folder(Path(folder)) / MANIFEST_NAME).is_file()
