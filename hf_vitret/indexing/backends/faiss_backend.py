"""`FaissBackend`: vectors that faiss stores and searches, exactly, as a graph (HNSW), or as codes in cells (IVF-PQ)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .index_plan import IndexPlan

# Values of efSearch for a graph, from the fastest search to one beyond which the recall hardly grows.
_EF_SEARCH = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
# Values of k_factor: number of candidates per result, found by their codes, that are compared by their stored copies.
_K_FACTORS = (2, 4, 8, 16, 32)
# Training vectors per centroid of a code. The 256 that faiss uses by default gain little and take four times as long.
_POINTS_PER_CODE = 64
_MAX_GPU_NEIGHBORS = 2048  # the largest k that the GPU kernels of faiss can sort


class FaissBackend:
    """An index of faiss that scores by the inner product.

    With faiss-gpu, cells are learned on the GPUs, and vectors that are searched exactly have a copy on the GPUs.

    Args:
        index: An index of faiss.
        kind: One of `KINDS`.
    """

    name = "faiss"

    def __init__(self, index: Any, kind: str) -> None:
        self.kind = kind
        self._faiss = import_faiss()
        self._pointer = self._faiss.swig_ptr
        self.index = index
        self.dim = int(index.d)
        # faiss returns an inner index as its base class.
        has_copy = type(index).__name__.startswith("IndexRefine")
        self._refine = index if has_copy else None
        self._base = self._faiss.downcast_index(index.base_index) if has_copy else index
        self._on_gpu: Any = None
        self._ef_search = 0  # of a graph

    @classmethod
    def of_plan(cls, plan: IndexPlan, dim: int, seed: int, num_expected: int = 0) -> FaissBackend:
        """Create an empty index, with memory reserved for the expected number of vectors."""
        faiss = import_faiss()
        backend = cls(faiss.index_factory(dim, plan.factory, faiss.METRIC_INNER_PRODUCT), plan.kind)
        if plan.kind == "ivfpq":
            cells = backend._base
            for clustering in (cells.cp, cells.pq.cp):
                clustering.seed = seed
                clustering.min_points_per_centroid = 1  # a higher value only prints a warning; the recall is measured
            cells.pq.cp.max_points_per_centroid = _POINTS_PER_CODE
            cells.do_polysemous_training = False  # takes a minute, for a filter that is not used
            if faiss.get_num_gpus():
                cells.clustering_index = faiss.index_cpu_to_all_gpus(faiss.IndexFlatIP(dim))
        backend._reserve(num_expected)
        return backend

    def _reserve(self, num_vectors: int) -> None:
        """Reserve memory for vectors: an array that grows is in memory twice or more each time it is moved."""
        if self.kind == "hnsw":
            num_links = num_vectors * (
                2 * self.index.hnsw.nb_neighbors(1) + 2
            )  # links of the lowest level, and of the others
            self.index.hnsw.neighbors.resize(num_links)
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
        """Read an index. faiss parses the file in C++, so check before that it is the file that was written."""
        faiss = import_faiss()
        # The newer flag also maps flat vectors, graphs and copies; the older flag maps only the cells.
        flag = getattr(faiss, "IO_FLAG_MMAP_IFC", faiss.IO_FLAG_MMAP) if memory_map else 0
        return cls(faiss.read_index(str(path), flag), kind)

    @property
    def num_vectors(self) -> int:
        """Number of vectors that were added."""
        return int(self.index.ntotal)

    def train(self, sample: np.ndarray) -> None:
        """Learn the cells and the codes."""
        self.index.train(sample)

    def add(self, embeddings: np.ndarray) -> None:
        """Append vectors."""
        self._on_gpu = None
        self.index.add(embeddings)

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores and positions of the k nearest vectors; see `VectorBackend.search`."""
        if self.kind == "hnsw" and k > self._ef_search:
            found = self._search_unchecked(queries, k, self._parameters(None, k))
        elif self.kind == "flat" and k <= _MAX_GPU_NEIGHBORS and self._faiss.get_num_gpus():
            if self._on_gpu is None:
                self._on_gpu = self._faiss.index_cpu_to_all_gpus(self.index)
            found = self._on_gpu.search(queries, k)
        else:
            found = self._search_unchecked(queries, k)
        return _without_filler(*found)

    def _search_unchecked(self, queries: np.ndarray, k: int, parameters: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """Call faiss without its Python wrapper, whose repeated checks take a fifth of a search of one query.

        This also works after something has imported `faiss.contrib.torch_utils`, which replaces the wrapper by one
        without parameters.
        """
        if queries.dtype != np.float32 or queries.ndim != 2 or queries.shape[1] != self.dim:
            raise ValueError(f"expected queries (num_queries, {self.dim}) float32; got {queries.dtype} {queries.shape}")
        num_queries = len(queries)
        scores = np.empty((num_queries, k), np.float32)
        positions = np.empty((num_queries, k), np.int64)
        pointer = self._pointer  # raises if the array is not contiguous
        self.index.search_c(num_queries, pointer(queries), k, pointer(scores), pointer(positions), parameters)
        return scores, positions

    def search_without(self, queries: np.ndarray, k: int, is_removed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Search without the removed positions; see `VectorBackend.search_without`."""
        bits = np.packbits(~is_removed, bitorder="little")
        chosen = self._faiss.IDSelectorBitmap(bits)
        return _without_filler(*self._search_unchecked(queries, k, self._parameters(chosen, k)))

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the vectors at some positions; see `VectorBackend.vectors`."""
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

    def candidate_settings(self) -> list[dict[str, float]]:
        """Return search settings, from the fastest to the most thorough; see `VectorBackend.candidate_settings`."""
        if self.kind == "flat":
            return []
        if self.kind == "hnsw":
            return [{"ef_search": ef_search} for ef_search in _EF_SEARCH]
        num_cells = int(self._base.nlist)
        cells = [2**power for power in range(num_cells.bit_length()) if 2**power < num_cells] + [num_cells]
        if self._refine is None:
            return [{"nprobe": each} for each in cells]
        # A search of more cells finds more only with more candidates: both grow, the number of cells twice as often.
        return [
            {"nprobe": each, "k_factor": _K_FACTORS[min(rank // 2, len(_K_FACTORS) - 1)]}
            for rank, each in enumerate(cells)
        ] + [{"nprobe": num_cells, "k_factor": _K_FACTORS[-1]}]

    def use_settings(self, settings: Mapping[str, float]) -> None:
        """Search with these settings from now on; see `VectorBackend.use_settings`."""
        if self.kind == "hnsw":
            self._ef_search = self._base.hnsw.efSearch = int(settings["ef_search"])
        elif self.kind == "ivfpq":
            self._base.nprobe = int(settings["nprobe"])
            if self._refine is not None:
                self._refine.k_factor = float(settings["k_factor"])

    def num_bytes(self) -> int:
        """Return the size in bytes of the index when it is written."""
        total = 0

        def count(part: bytes) -> None:
            nonlocal total
            total += len(part)

        writer = self._faiss.PyCallbackIOWriter(count)
        self._faiss.write_index(self.index, writer)
        return total

    def save(self, path: Path) -> None:
        """Write the index to a file."""
        self._faiss.write_index(self.index, str(path))

    def _parameters(self, chosen: Any, k: int) -> Any:
        """Return the parameters of a search among the positions that a selector chooses; None chooses all."""
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
    """Set the scores without a vector to -inf: faiss sets them to the lowest float."""
    if len(positions) and not _has_full_rows(positions):
        scores[positions < 0] = -np.inf
    return scores, positions


def _has_full_rows(positions: np.ndarray) -> bool:
    """Return whether no position, `(..., k)`, is -1, which occurs only at the end of a row."""
    return bool(positions.item(-1) >= 0 if positions.size == positions.shape[-1] else positions[..., -1].min() >= 0)


def import_faiss() -> Any:
    """Import faiss.

    Raises:
        ImportError: faiss is not installed; the message says how to install it.
    """
    try:
        import faiss
    except ImportError as error:
        raise ImportError(
            "this index needs faiss, which is not installed: pip install 'hf_vitret[cpu]', or 'hf_vitret[gpu]'"
        ) from error
    return faiss
