"""From an uploaded file to what it finds: decoded by threads, embedded in batches, searched for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from ...embedding.image_encoder import ImageEncoder
from ...embedding.model_identity import ModelIdentity
from ...indexing.image_records import ID_COLUMN
from ...indexing.metadata_filter import rows_where
from ...indexing.results.answers import PATH_COLUMN, Hit
from ...indexing.search_by_image import search_by_embedding
from .batch_worker import BatchWorker
from .error_answers import RefusedRequest
from .thread_slots import ThreadSlots
from .uploads import read_upload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    import numpy as np
    import torch
    from torch import nn

    from ...indexing.image_index import ImageIndex
    from .settings import ServingSettings


class ImageSearch:
    """An index and the model that made it.

    Args:
        index: To search in. It must not change meanwhile.
        model: A `ViTRetModel`, on the device where it runs.
        settings: The limits.
        identity: Of the model, where it is known; else it is found.
        columns: Metadata that is shown, and that conditions may name. None: all but the paths.
        min_score: What scores below it is no match, where a request does not say otherwise.
        dtype: In which the model computes, as for `ImageEncoder`.
        on_batch: Called with the number of images of each step of the model.

    Attributes:
        columns: As above, resolved.
        identity: As above.
        index: As above.
        min_score: As above.

    Raises:
        ValueError: The index is of another model, revision or image processor, or of another dimension; or it has no
            such column.
    """

    def __init__(
        self,
        index: ImageIndex,
        model: nn.Module,
        settings: ServingSettings,
        *,
        identity: ModelIdentity | None = None,
        columns: Sequence[str] | None = None,
        min_score: float | None = None,
        dtype: str = "auto",
        on_batch: Callable[[int], None] | None = None,
    ) -> None:
        self.index, self.min_score, self._settings = index, min_score, settings
        self.identity = ModelIdentity.of(model) if identity is None else identity
        index.check_model(self.identity)
        self._encoder = ImageEncoder(model, dtype=dtype)
        if self._encoder.dim != index.manifest.dim:
            raise ValueError(
                f"expected a model whose embeddings have {index.manifest.dim} dimensions, as those of the index; got "
                f"{self._encoder.dim}: serve with the model that made the index"
            )
        known = [name for name in index.records.table.column_names if name not in (ID_COLUMN, PATH_COLUMN)]
        unknown = sorted(set(columns or ()) - set(known))
        if unknown:
            raise ValueError(f"expected columns of the index, {', '.join(known) or 'of which there is none'}; got "
                             f"{', '.join(unknown)}")  # fmt: skip
        self.columns = known if columns is None else list(columns)
        self._visible = index.records.table.select([ID_COLUMN, *self.columns])
        self._on_batch = on_batch
        self._worker: BatchWorker | None = None
        self._threads: ThreadSlots | None = None

    @property
    def is_running(self) -> bool:
        """Whether it answers."""
        return self._worker is not None and self._worker.is_running

    def start(self) -> None:
        """Start the threads, inside the event loop that is going to ask."""
        settings = self._settings
        self._threads = ThreadSlots(settings.num_threads)
        self._worker = BatchWorker(
            self._encoder, max_batch=settings.max_batch, max_wait=settings.max_wait, on_batch=self._on_batch
        )
        self._worker.start()

    def close(self) -> None:
        """Finish what runs, and end the threads."""
        if self._threads is not None and self._worker is not None:
            self._threads.close()
            self._worker.close()

    async def find(
        self, file: BinaryIO, k: int, where: Sequence[str] = (), min_score: float | None = None
    ) -> list[Hit]:
        """Find the images nearest to an uploaded one.

        Args:
            file: The upload, from its start.
            k: How many.
            where: Conditions, as for `rows_where`.
            min_score: In the place of that of the server.

        Returns:
            The images, best first, with the metadata that is shown.

        Raises:
            RefusedRequest: As `read_upload`; or a condition is none (422).
            asyncio.TimeoutError: It takes longer than the settings allow.
            RuntimeError: It was not started, or has ended.
        """
        return await asyncio.wait_for(self._find(file, k, where, min_score), self._settings.timeout)

    async def _find(self, file: BinaryIO, k: int, where: Sequence[str], min_score: float | None) -> list[Hit]:
        if self._threads is None or self._worker is None:
            raise RuntimeError("expected start() to have been called")
        self._check_conditions(where)
        pixels = await self._threads.run(self._read, file)
        query = await asyncio.wrap_future(self._worker.submit(pixels))
        return await self._threads.run(self._search, query, k, where, min_score)

    def _check_conditions(self, where: Sequence[str]) -> None:
        try:  # on no rows of the columns that may be named: those that may not are not there
            rows_where(self._visible.slice(0, 0), where)
        except ValueError as error:
            raise RefusedRequest(422, str(error)) from error

    def _read(self, file: BinaryIO) -> torch.Tensor:
        return self._encoder.pixels_of(read_upload(file, self._settings.max_pixels))

    def _search(self, query: np.ndarray, k: int, where: Sequence[str], min_score: float | None) -> list[Hit]:
        lowest = self.min_score if min_score is None else min_score
        (answer,) = search_by_embedding(self.index, query, k, names=["upload"], where=where, min_score=lowest)
        return [replace(hit, metadata={name: hit.metadata[name] for name in self.columns}) for hit in answer.hits]
