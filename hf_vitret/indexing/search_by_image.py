"""`search_by_image`: find the images of an index that are nearest to query images, with scores and metadata."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ..data.images import read_image
from ..embedding.model_identity import ModelIdentity
from .refined_search import expanded_search, reranked_search
from .results.answers import Answer, collect_answers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import numpy as np
    import torch
    from torch import nn

    from .image_index import ImageIndex
    from .migration.embedding_map import EmbeddingMap


def search_by_image(
    index: ImageIndex,
    model: nn.Module,
    images: Sequence[str | PathLike[str] | bytes | Image.Image],
    k: int = 10,
    *,
    names: Sequence[str] | None = None,
    where: str | Sequence[str] = (),
    min_score: float | None = None,
    expand: int | None = None,
    rerank: bool = False,
    embedding_map: EmbeddingMap | None = None,
    identity: ModelIdentity | None = None,
    batch_size: int = 64,
) -> list[Answer]:
    """Embed query images, and find the images of an index that are nearest to each.

    Args:
        index: The index to search.
        model: The `ViTRetModel` that made the embeddings of the index; with `embedding_map` the newer model.
        images: The queries: paths of image files on this machine, encoded images as bytes, or PIL images of any size
            and mode.
        k: Number of images to find for each query, at least 1.
        names: Names of the queries in the answers. `None`: their paths, or `image 0`, `image 1` ...
        where: Conditions on the metadata, such as `"color=red"` or `"price<=20"`, all of which a found image meets.
        min_score: Images with a lower score are left out. With unit vectors it is a cosine, from -1 to 1. `None`: none
            are.
        expand: Number of nearest images that are averaged with each query before a second search. `None`: one search.
        rerank: Whether to re-rank the results by k-reciprocal neighbours.
        embedding_map: A map from the embeddings of the index's model to those of `model`. The queries are mapped to the
            embeddings of the index's model.
        identity: The identity of `model`, if it is known. `None`: it is computed, which hashes the weights.
        batch_size: Number of images that are embedded at once.

    Returns:
        One `Answer` per query, in the order of the queries, with the best image first; without images if none matches.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There are no queries, a file cannot be read as an image, another model made the index, `min_score`
            is given with `expand` or `rerank`, whose scores have other scales, both `expand` and `rerank` are given, k
            is below 1, or a condition is malformed, or names no column or no value of its type.
        TypeError: A query has none of these types.

    Example:
        >>> answers = search_by_image(index, model, ["photo.jpg"], k=3)  # doctest: +SKIP
        >>> [(hit.image_id, round(hit.score, 2)) for hit in answers[0].hits]  # doctest: +SKIP
        [('red/1.jpg', 0.93), ('red/4.jpg', 0.88), ('red/2.jpg', 0.81)]
    """
    from ..inference.embed import embed_images

    _check_options(k, min_score, expand, rerank)
    pictures = [read_query(image) for image in images]  # first, so that a missing file is reported at once
    known = ModelIdentity.of(model) if identity is None else identity
    if embedding_map is None:
        index.check_model(known)
    else:
        if embedding_map.old_model is not None:
            index.check_model(embedding_map.old_model)
        embedding_map.check_new_model(known)
    embeddings = embed_images(model, pictures, batch_size=batch_size, progress=len(pictures) > batch_size)
    if embedding_map is not None:
        embeddings = embedding_map.to_old(embeddings)
    if names is None:
        names = [str(image) if isinstance(image, (str, Path)) else f"image {row}" for row, image in enumerate(images)]
    return search_by_embedding(
        index, embeddings, k, names=names, where=where, min_score=min_score, expand=expand, rerank=rerank
    )


def search_by_embedding(
    index: ImageIndex,
    embeddings: torch.Tensor | np.ndarray,
    k: int = 10,
    *,
    names: Sequence[str],
    where: str | Sequence[str] = (),
    min_score: float | None = None,
    expand: int | None = None,
    rerank: bool = False,
) -> list[Answer]:
    """Find the images of an index that are nearest to each query embedding: `search_by_image` without the model.

    Args:
        index: The index to search.
        embeddings: `(num_queries, dim)` float; with unit L2 norm if those of the index have it.
        k: Number of images to find for each query, at least 1.
        names: Names of the queries in the answers.
        where: Conditions on the metadata, such as `"color=red"` or `"price<=20"`, all of which a found image meets.
        min_score: Images with a lower score are left out. `None`: none are.
        expand: Number of nearest images that are averaged with each query before a second search. `None`: one search.
        rerank: Whether to re-rank the results by k-reciprocal neighbours.

    Returns:
        One `Answer` per query, in the order of the queries, with the best image first.

    Raises:
        ValueError: `min_score` is given with `expand` or `rerank`, both of these are given, k is below 1, an embedding
            is not finite or has another dimension, or a condition is malformed, or names no column or no value of its
            type.
        TypeError: The embeddings are not floats.
    """
    _check_options(k, min_score, expand, rerank)
    settings: dict[str, Any] = {"where": where}
    if expand is not None:
        scores, positions = expanded_search(index, embeddings, k, num_neighbors=expand, **settings)
    elif rerank:
        scores, positions = reranked_search(index, embeddings, k, **settings)
    else:
        scores, positions = index.search_positions(embeddings, k, min_score=min_score, **settings)
    return collect_answers(index, names, scores, positions)


def _check_options(k: int, min_score: float | None, expand: int | None, rerank: bool) -> None:
    if k < 1:
        raise ValueError(f"expected k, the number of images to find for each query, to be at least 1; got {k}")
    if expand is not None and rerank:
        raise ValueError("expected expand or rerank; got both: leave one out")
    if min_score is not None and (expand is not None or rerank):
        raise ValueError("expected no min_score with expand or rerank, whose scores have other scales: leave one out")


def read_query(image: str | PathLike[str] | bytes | Image.Image) -> Image.Image:
    """Decode a query image.

    Args:
        image: A path of an image file on this machine, an encoded image as bytes, or a PIL image, which is returned as
            it is.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The image cannot be read.
        TypeError: The query has none of these types.
    """
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, bytes):
        return read_image({"bytes": image, "path": None})
    if not isinstance(image, (str, Path)):
        raise TypeError(f"expected a path, the bytes of an image file or a PIL image; got {type(image).__name__}")
    path = Path(image).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"expected the file of an image; there is no file {str(image)!r}")
    try:
        return read_image({"bytes": None, "path": str(path.resolve())})
    except ValueError as error:
        raise ValueError(f"expected an image in {image}; it cannot be read: {error}") from error
