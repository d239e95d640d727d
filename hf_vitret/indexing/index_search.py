"""`SearchableIndex`: the methods of an index that search it and do not change it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .backends.array_inputs import as_matrix
from .backends.exact_among import exact_among
from .metadata_filter import rows_where

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from ..embedding.model_identity import ModelIdentity
    from .backends.vector_backend import VectorBackend
    from .building.index_choice import IndexChoice
    from .building.index_manifest import IndexManifest
    from .image_records import ImageRecords


class SearchableIndex:
    """Finds the images with the largest inner products to a query, and returns their ids.

    Args:
        backend: Stores and searches the vectors, by position.
        records: The id and the metadata of the image at each position.
        manifest: The facts of the index.
        choice: The plans that the index was chosen from; None for an index that was loaded.

    Attributes:
        manifest: The facts of the index: its kind, dimension and model, and what was measured.
        choice: The plans that the index was chosen from; None for an index that was loaded.
    """

    def __init__(
        self,
        backend: VectorBackend,
        records: ImageRecords,
        manifest: IndexManifest,
        choice: IndexChoice | None = None,
    ) -> None:
        self._backend, self._records = backend, records
        self.manifest, self.choice = manifest, choice

    def __len__(self) -> int:
        """Return the number of images that a search can find."""
        return len(self._records) - self._records.num_removed

    @property
    def ids(self) -> np.ndarray:
        """Ids of the images that a search can find, in the order in which they were added: int64, or string objects."""
        return self._records.ids_at(np.flatnonzero(~self._records.is_removed))

    @property
    def backend(self) -> VectorBackend:
        """The backend, which stores and searches the vectors by position, without ids."""
        return self._backend

    @property
    def records(self) -> ImageRecords:
        """The id and the metadata of the image at each position."""
        return self._records

    def search(
        self,
        queries: torch.Tensor | np.ndarray,
        k: int = 10,
        *,
        model: ModelIdentity | None = None,
        where: str | Sequence[str] = (),
        min_score: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest images of each query.

        Args:
            queries: `(num_queries, dim)` float, finite.
            k: Number of images to find, at least 1.
            model: The model that made the queries. None: not checked.
            where: Conditions on the metadata, such as `"color=red"` or `"price<=20"`, all of which a found image meets.
                The search is then exact among these images, whatever the kind of the index.
            min_score: Images with a lower score are left out. None: none are.

        Returns:
            scores: `(num_queries, k)` float32 inner products, descending.
            ids: `(num_queries, k)` int64, or string objects. If there are fewer than k images, the other scores are
                -inf, and their ids are -1 or None.

        Raises:
            ValueError: k is below 1, a query is not finite or has another dimension, another model, revision or image
                processor made the queries, or a condition is malformed, or names no column or no value of its type.
            TypeError: The queries are not floats.
        """
        scores, positions = self._find(queries, k, model, where, min_score)
        return scores, self._records.ids_at(positions)

    def search_positions(
        self,
        queries: torch.Tensor | np.ndarray,
        k: int = 10,
        *,
        model: ModelIdentity | None = None,
        where: str | Sequence[str] = (),
        min_score: float | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest images of each query, and return positions, which `records` and `vectors` take.

        Args:
            queries: `(num_queries, dim)` float, finite.
            k: Number of images to find, at least 1.
            model: The model that made the queries. None: not checked.
            where: Conditions on the metadata, such as `"color=red"` or `"price<=20"`, all of which a found image meets.
                The search is then exact among these images, whatever the kind of the index.
            min_score: Images with a lower score are left out. None: none are.

        Returns:
            scores: `(num_queries, k)` float32 inner products, descending.
            positions: `(num_queries, k)` int64. If there are fewer than k images, the other scores are -inf, and their
                positions are -1.

        Raises:
            ValueError: k is below 1, a query is not finite or has another dimension, another model, revision or image
                processor made the queries, or a condition is malformed, or names no column or no value of its type.
            TypeError: The queries are not floats.
        """
        return self._find(queries, k, model, where, min_score)

    def _find(
        self,
        queries: torch.Tensor | np.ndarray,
        k: int,
        model: ModelIdentity | None,
        where: str | Sequence[str],
        min_score: float | None,
    ) -> tuple[np.ndarray, np.ndarray]:
        if k < 1:
            raise ValueError(f"k must be at least 1; got {k}")
        if model is not None:
            self.check_model(model)
        asked = as_matrix(queries, "queries", self.manifest.dim)
        if where:
            found = exact_among(self._backend, asked, k, self.positions_where(where))
        elif self._records.num_removed:
            found = self._backend.search_without(asked, k, self._records.is_removed)
        else:
            found = self._backend.search(asked, k)
        if min_score is not None:
            is_low = found[0] < min_score
            found[0][is_low], found[1][is_low] = -np.inf, -1
        return found

    def positions_where(self, where: str | Sequence[str]) -> np.ndarray:
        """Return the positions of the images that meet all conditions, ascending int64, without removed images."""
        conditions = [where] if isinstance(where, str) else where
        return np.flatnonzero(rows_where(self._records.table, conditions) & ~self._records.is_removed)

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return the stored vectors at some positions, `(num_positions, dim)` float32."""
        return self._backend.vectors(positions)

    def check_model(self, model: ModelIdentity) -> None:
        """Check that embeddings of a model can be compared with those of the index.

        Args:
            model: The model that made the other embeddings.

        Raises:
            ValueError: They cannot; the message says what differs.
        """
        if self.manifest.model is None or model == self.manifest.model:
            return
        differences = self.manifest.model.difference(model)
        if differences:
            raise ValueError(
                f"expected embeddings of the model that made the index, {_named(self.manifest.model)}; got those of "
                f"{_named(model)}: {'; '.join(differences)}. Embed with the index's model, or index again"
            )


def _named(model: ModelIdentity) -> str:
    return f"{model.name or 'a model without a name'}{f' at {model.revision[:12]}' if model.revision else ''}"
