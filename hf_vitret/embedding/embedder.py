"""`Embedder`: a model as a callable that `datasets`, Ray Data and Spark can send to their workers."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from ..data.in_order import default_threads
from ..inference.forward import check_finite
from ..inference.load_model import load_model
from .image_encoder import ImageEncoder
from .process_share import own_device

if TYPE_CHECKING:
    from os import PathLike

    import pandas as pd

ERROR_SUFFIX = "_error"


class Embedder:
    """Embed batches of images in worker processes.

    A model that is given by name is loaded in the worker, at the first batch, and is not pickled. The other columns of
    a batch are returned unchanged. An image that cannot be read does not stop the job: its embedding is NaN, and the
    column `<embedding_column>_error`, which is empty for other images, holds the reason.

    Args:
        model: Folder or Hub id of a checkpoint or of a vision backbone, loaded at the first batch; or a `ViTRetModel`,
            which is pickled with its weights.
        revision: Branch, tag or commit on the Hub.
        image_column: Column of the images: encoded images (bytes), paths, dicts of `bytes` and `path` as `datasets`
            stores images, PIL images, or `(height, width, 3)` uint8 arrays.
        embedding_column: Column of the embeddings.
        batch_size: Number of images that are embedded at once, however large the batches of the framework are.
        dtype: Data type in which the model computes: `"auto"` (bfloat16 if it is faster than float32 on the device),
            `"float32"`, `"bfloat16"` or `"float16"`.
        normalize: False returns the vectors before L2 normalisation.
        num_threads: Number of threads that decode images. `None`: one per CPU, at most 16.
        device: Device of the model, such as `"cuda:1"`. `None`: the accelerator with the number `rank` or else
            `LOCAL_RANK`, or the first visible one.

    Raises:
        ValueError: `batch_size` is below 1.

    Example:
        With `datasets`: `dataset.map(Embedder("user/model"), batched=True, with_rank=True, num_proc=8)`.
        With Ray Data: `dataset.map_batches(Embedder, fn_constructor_args=("user/model",), num_gpus=1,
        compute=ray.data.ActorPoolStrategy(size=8))`.
        With Spark: `frame.mapInPandas(Embedder("user/model", image_column="content").map_frames, schema)`.
    """

    def __init__(
        self,
        model: nn.Module | str | PathLike[str],
        *,
        revision: str | None = None,
        image_column: str = "image",
        embedding_column: str = "embedding",
        batch_size: int = 64,
        dtype: str = "auto",
        normalize: bool = True,
        num_threads: int | None = None,
        device: str | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"expected a batch_size of at least 1 image; got {batch_size}")
        self._model = model if isinstance(model, nn.Module) else str(model)
        self._revision, self._device, self._num_threads = revision, device, num_threads
        self._image_column, self._embedding_column = image_column, embedding_column
        self._batch_size, self._dtype, self._normalize = batch_size, dtype, normalize
        self._encoder: ImageEncoder | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: the settings, and a model that was given as an object, on the CPU."""
        state = {**self.__dict__, "_encoder": None}
        if isinstance(self._model, nn.Module):
            state["_model"] = copy.deepcopy(self._model).cpu()
        return state

    def __call__(self, batch: Mapping[str, Sequence[Any]], rank: int | None = None) -> dict[str, Any]:
        """Embed one batch.

        Args:
            batch: Columns by name, all of the same length.
            rank: Number of the worker, which `datasets.map(with_rank=True)` passes. It selects the device at the first
                batch.

        Returns:
            The batch without the images, with the column `<embedding_column>`, `(rows, dim)` float32 (of unit L2 norm
            unless `normalize` is False), and the column `<embedding_column>_error`, an array of strings.

        Raises:
            ValueError: There is no column of images, or an embedding is not finite.
            TypeError: An image has none of the supported types.
            OSError: There is no such model.
        """
        if self._image_column not in batch:
            raise ValueError(
                f"expected a column {self._image_column!r} of images; got {', '.join(batch)}: pass the name of the "
                "column as image_column"
            )
        embeddings, errors = self.embed(batch[self._image_column], rank)
        others = {name: values for name, values in batch.items() if name != self._image_column}
        return {
            **others,
            self._embedding_column: embeddings,
            self._embedding_column + ERROR_SUFFIX: np.array(errors, dtype=np.str_),
        }

    def map_frames(self, frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        """Embed pandas data frames one by one, as `DataFrame.mapInPandas` of Spark requires.

        Args:
            frames: Data frames with the column of images.

        Yields:
            Each data frame without the images, with the embeddings as lists of floats, and with their errors.
        """
        import pandas as pd

        for frame in frames:
            columns = self({str(name): frame[name].tolist() for name in frame.columns})
            columns[self._embedding_column] = columns[self._embedding_column].tolist()
            yield pd.DataFrame(columns)

    def embed(self, images: Sequence[Any], rank: int | None = None) -> tuple[np.ndarray, list[str]]:
        """Embed images.

        Args:
            images: Images of the types that `image_column` may hold; None for a missing image.
            rank: Number of the worker. It selects the device at the first batch.

        Returns:
            embeddings: `(len(images), dim)` float32, NaN for an image that cannot be read.
            errors: For each image why it cannot be read; empty if it can.
        """
        encoder = self._load(rank)
        embeddings = np.full((len(images), encoder.dim), np.nan, dtype=np.float32)
        errors = [""] * len(images)

        def read(image: Any) -> torch.Tensor | str:
            try:
                return _read(encoder, image)
            except ValueError as error:
                return str(error) or type(error).__name__

        with encoder.evaluating(), ThreadPoolExecutor(self._num_threads or default_threads()) as threads:
            decoded = threads.map(read, images)
            for first in range(0, len(images), self._batch_size):
                window = [next(decoded) for _ in range(min(self._batch_size, len(images) - first))]
                good = [row for row, result in enumerate(window, first) if not isinstance(result, str)]
                for row, result in enumerate(window, first):
                    errors[row] = result if isinstance(result, str) else ""
                if good:
                    pixels = torch.stack([result for result in window if not isinstance(result, str)])  # (B, 3, H, W)
                    vectors = encoder.encode(pixels).cpu()  # (B, dim)
                    check_finite(vectors)
                    embeddings[good] = vectors.numpy()
        return embeddings, errors

    def _load(self, rank: int | None) -> ImageEncoder:
        if self._encoder is None:
            model = self._model
            if isinstance(model, str):
                device = own_device(rank) if self._device is None else torch.device(self._device)
                model = load_model(model, device=str(device), revision=self._revision)
            elif self._device is not None or rank is not None:
                model = model.to(own_device(rank) if self._device is None else self._device)
            self._encoder = ImageEncoder(model, dtype=self._dtype, normalize=self._normalize)
        return self._encoder


def _read(encoder: ImageEncoder, image: Any) -> torch.Tensor:
    if isinstance(image, Image.Image):
        return encoder.pixels_of(image)
    if isinstance(image, np.ndarray) and image.dtype != object:
        return encoder.pixels_of(Image.fromarray(image))
    if isinstance(image, (str, Path)):
        return encoder.read_pixels({"bytes": None, "path": str(image)})
    if isinstance(image, (bytes, bytearray, memoryview)):
        return encoder.read_pixels({"bytes": bytes(image), "path": None})
    if image is None or isinstance(image, Mapping):
        return encoder.read_pixels(None if image is None else {"bytes": None, "path": None, **image})
    raise TypeError(
        "expected images as bytes, paths, dicts of bytes and path, PIL images or uint8 arrays; got "
        f"{type(image).__name__}"
    )
