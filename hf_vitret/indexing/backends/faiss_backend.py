"""Vectors kept and searched by faiss: all of them, a graph, or cells of codes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .index_plan import IndexPlan

# Neighbours looked at in a graph, from the fastest search to one that hardly gains any more.
_EFFORTS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
# Candidates by their codes for each result, whose copies are then looked at.
_CANDIDATES = (2, 4, 8, 16, 32)
# Points that each value of a code is learned from: of 256, faiss's own, more gain little and take four times as long.
_POINTS_PER_CODE = 64
_MAX_GPU_NEIGHBORS = 2048  # what faiss's kernels can sort


class FaissBackend:
    """An index of faiss, by inner product.

    With faiss-gpu, cells are learned on the GPUs, and vectors that are searched exactly have a copy there.

    Args:
        index: Of faiss.
        kind: One of `KINDS`.
    """

    name = "faiss"

    def __init__(self, index: Any, kind: str) -> None:
        self.kind = kind
        self._faiss = import_faiss()
        self._pointer = self._faiss.swig_ptr
        self.index = index
        self.dim = int(index.d)
        # faiss hands back the base class of what lies inside another index.
        has_copy = type(index).__name__.startswith("IndexRefine")
        self._refine = index if has_copy else None
        self._base = self._faiss.downcast_index(index.base_index) if has_copy else index
        self._on_gpu: Any = None
        self._effort = 0  # of a graph

    @classmethod
    def of_plan(cls, plan: IndexPlan, dim: int, seed: int, num_expected: int = 0) -> FaissBackend:
        """Make an empty one, with room for the vectors that are expected."""
        faiss = import_faiss()
        backend = cls(faiss.index_factory(dim, plan.factory, faiss.METRIC_INNER_PRODUCT), plan.kind)
        if plan.kind == "ivfpq":
            cells = backend._base
            for clustering in (cells.cp, cells.pq.cp):
                clustering.seed = seed
                clustering.min_points_per_centroid = 1  # it would only print a warning; the recall is measured
            cells.pq.cp.max_points_per_centroid = _POINTS_PER_CODE
            cells.do_polysemous_training = False  # orders the codes for a filter that is not used, for a minute
            if faiss.get_num_gpus():
                cells.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(dim))
        backend._reserve(num_expected)
        return backend

    def _reserve(self, num_vectors: int) -> None:
        """Keep room for vectors: an array that grows as they come is there twice, and more, each time that it moves."""
        if self.kind == "hnsw":
            room = num_vectors * (2 * self.index.hnsw.nb_neighbors(1) + 2)  # links of the ground floor, and of the rest
            self.index.hnsw.neighbors.resize(room)
            self.index.hnsw.neighbors.resize(0)
            flat = self._faiss.downcast_index(self.index.storage)
        elif self._refine is not None:
            flat = self._faiss.downcast_index(self._refine.refine_index)
        elif self.kind == "flat":
            flat = self.index
        else:
            return
        flat.codes.resize(num_vectors * flat.code_size)
        flat.codes.resize(0)

    @classmethod
    def load(cls, path: Path, kind: str, *, memory_map: bool) -> FaissBackend:
        """Read an index. faiss parses it in C++: check that it is the one that was written."""
        faiss = import_faiss()
        # The newer flag maps flat vectors, graphs and copies too; the older one the cells alone.
        flag = getattr(faiss, "IO_FLAG_MMAP_IFC", faiss.IO_FLAG_MMAP) if memory_map else 0
        return cls(faiss.read_index(str(path), flag), kind)

    @property
    def num_vectors(self) -> int:
        """How many have been added."""
        return int(self.index.ntotal)

    def train(self, sample: np.ndarray) -> None:
        """Learn cells and codes."""
        self.index.train(sample)

    def add(self, embeddings: np.ndarray) -> None:
        """Append vectors."""
        self._on_gpu = None
        self.index.add(embeddings)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Search; see `VectorBackend`."""
        if self.kind == "hnsw" and k > self._effort:
            found = self._search_unchecked(queries, k, self._parameters(None, k))
        elif self.kind == "flat" and k <= _MAX_GPU_NEIGHBORS and self._faiss.get_num_gpus():
            if self._on_gpu is None:
                self._on_gpu = self._faiss.index_cpu_to_all_gpus(self.index)
            found = self._on_gpu.search(queries, k)
        else:
            found = self._search_unchecked(queries, k)
        return _without_filler(*found)

    def _search_unchecked(self, queries: np.ndarray, k: int, parameters: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Call faiss below its own wrapper, which checks again what was checked: a fifth of a search of one query.

        Nor does it matter then that `faiss.contrib.torch_utils`, once anything has imported it, puts a wrapper without
        parameters in that one's place.
        """
        if queries.dtype != np.float32 or queries.ndim != 2 or queries.shape[1] != self.dim:
            raise ValueError(f"expected queries (num_queries, {self.dim}) float32; got {queries.dtype} {queries.shape}")
        num_queries = len(queries)
        scores = np.empty((num_queries, k), np.float32)
        positions = np.empty((num_queries, k), np.int64)
        pointer = self._pointer  # refuses what is not contiguous
        self.index.search_c(num_queries, pointer(queries), k, pointer(scores), pointer(positions), parameters)
        return scores, positions

    def search_without(self, queries: np.ndarray, k: int, is_removed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Search without some; see `VectorBackend`."""
        bits = np.packbits(~is_removed, bitorder="little")
        chosen = self._faiss.IDSelectorBitmap(bits)
        return _without_filler(*self._search_unchecked(queries, k, self._parameters(chosen, k)))

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return some vectors; see `VectorBackend`."""
        if self._refine is not None:
            kept = self._refine.refine_index
        elif self.kind == "hnsw":
            kept = self._base.storage
        else:
            kept = self._base
            if self.kind == "ivfpq":
                kept.make_direct_map()
        vectors: np.ndarray = self._faiss.downcast_index(kept).reconstruct_batch(np.ascontiguousarray(positions))
        return vectors

    def ladder(self) -> list[dict[str, float]]:
        """Return the settings of a search; see `VectorBackend`."""
        if self.kind == "flat":
            return []
        if self.kind == "hnsw":
            return [{"effort": effort} for effort in _EFFORTS]
        num_cells = int(self._base.nlist)
        cells = [2**power for power in range(num_cells.bit_length()) if 2**power < num_cells] + [num_cells]
        if self._refine is None:
            return [{"cells": each} for each in cells]
        # A search of more cells finds what it can only with more candidates: both grow, the cells twice as often.
        return [
            {"cells": each, "candidates": _CANDIDATES[min(place // 2, len(_CANDIDATES) - 1)]}
            for place, each in enumerate(cells)
        ] + [{"cells": num_cells, "candidates": _CANDIDATES[-1]}]

    def set_effort(self, settings: Mapping[str, float]) -> None:
        """Search with some settings; see `VectorBackend`."""
        if self.kind == "hnsw":
            self._effort = self._base.hnsw.efSearch = int(settings["effort"])
        elif self.kind == "ivfpq":
            self._base.nprobe = int(settings["cells"])
            if self._refine is not None:
                self._refine.k_factor = float(settings["candidates"])

    def num_bytes(self) -> int:
        """Count the bytes of the index, as it is written."""
        total = 0

        def count(part: bytes) -> None:
            nonlocal total
            total += len(part)

        writer = self._faiss.PyCallbackIOWriter(count)
        self._faiss.write_index(self.index, writer)
        return total

    def save(self, path: Path) -> None:
        """Write the index."""
        self._faiss.write_index(self.index, str(path))

    def _parameters(self, chosen: Any, k: int) -> Any:
        """Return the parameters of a search among the positions that a selector chooses, all for None."""
        faiss = self._faiss
        if self.kind == "flat":
            return faiss.SearchParameters(sel=chosen)
        if self.kind == "hnsw":
            return faiss.SearchParametersHNSW(sel=chosen, efSearch=max(self._base.hnsw.efSearch, k))
        cells = faiss.SearchParametersIVF(sel=chosen, nprobe=self._base.nprobe)
        if self._refine is None:
            return cells
        return faiss.IndexRefineSearchParameters(k_factor=self._refine.k_factor, base_index_params=cells)


def _without_filler(scores: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Let the scores be -inf where there is no vector: faiss puts the lowest float there."""
    if len(positions) and not _has_full_rows(positions):
        scores[positions < 0] = -np.inf
    return scores, positions


def _has_full_rows(positions: np.ndarray) -> bool:
    """Tell whether positions, `(..., k)`, are all there: -1 stands at the end of a row alone."""
    return bool(positions.item(-1) >= 0 if positions.size == positions.shape[-1] else positions[..., -1].min() >= 0)


def import_faiss() -> Any:
    """Import faiss.

    Raises:
        ImportError: It is not installed; the message says how to install it.
    """
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "this index is searched by faiss, which is not installed: pip install hf_vitret[cpu], or hf_vitret[gpu]"
        ) from error
    return faiss
