"""Search an index by images: files, bytes or pictures in, ranked images with scores and metadata out."""

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
    where: Sequence[str] = (),
    min_score: float | None = None,
    expand: int | None = None,
    rerank: bool = False,
    embedding_map: EmbeddingMap | None = None,
    identity: ModelIdentity | None = None,
    batch_size: int = 64,
) -> list[Answer]:
    """Embed images and find those of an index that are nearest to each.

    Args:
        index: What is searched.
        model: The `ViTRetModel` that made the index's embeddings; with `embedding_map` the newer model.
        images: Queries: paths of image files on this machine, encoded files as bytes, or PIL images of any size and
            mode.
        k: Images to find for each query, at least 1.
        names: What the answers call the queries; `None`: their paths, or `image 0`, `image 1` ...
        where: Conditions on the metadata that a found image meets, all of them, as `"color=red"` or `"price<=20"`.
        min_score: Images that score below it are no match; of unit vectors, a cosine in -1 to 1. `None`: all match.
        expand: Search twice: each query is averaged with this many of its nearest images in between. `None`: once.
        rerank: Whether to order what is found by k-reciprocal neighbours.
        embedding_map: From the embeddings of the index's model to those of `model`; the queries are mapped back.
        identity: Of `model`, where it is known already; `None`: it is computed, which hashes the weights.
        batch_size: Images embedded at once.

    Returns:
        One `Answer` a query, in their order, best image first; without images where nothing matches.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file cannot be read as an image; the index is of another model; `min_score` comes with `expand` or
            `rerank`, whose scores are on other scales; both of these are given; or as `ImageIndex.search`.

    Example:
        >>> answers = search_by_image(index, model, ["photo.jpg"], k=3)  # doctest: +SKIP
        >>> [(hit.image_id, round(hit.score, 2)) for hit in answers[0].hits]  # doctest: +SKIP
        [('red/1.jpg', 0.93), ('red/4.jpg', 0.88), ('red/2.jpg', 0.81)]
    """
    from ..inference.embed import embed_images

    pictures = [read_query(image) for image in images]  # before the work: a file that is missing is named at once
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
    where: Sequence[str] = (),
    min_score: float | None = None,
    expand: int | None = None,
    rerank: bool = False,
) -> list[Answer]:
    """Find the images of an index that are nearest to each embedding: `search_by_image` after the model.

    Args:
        index: What is searched.
        embeddings: `(num_queries, dim)` float, of unit L2 norm where those of the index are.
        k: Images to find for each query, at least 1.
        names: One a query, for the answers.
        where: Conditions on the metadata that a found image meets, all of them.
        min_score: Images that score below it are no match. `None`: all match.
        expand: Nearest images that each query is averaged with before a second search. `None`: one search.
        rerank: Whether to order what is found by k-reciprocal neighbours.

    Returns:
        One `Answer` a query, in their order, best image first.

    Raises:
        ValueError: `min_score` comes with `expand` or `rerank`, or both of these are given; or as `ImageIndex.search`.
        TypeError: Embeddings are not floats.
    """
    if k < 1:
        raise ValueError(f"expected k, the images to find for each query, to be at least 1; got {k}")
    if expand is not None and rerank:
        raise ValueError("expected expand or rerank; got both: leave one out")
    if min_score is not None and (expand is not None or rerank):
        raise ValueError("expected no min_score with expand or rerank, whose scores are on other scales: leave one out")
    settings: dict[str, Any] = {"where": list(where)}
    if expand is not None:
        scores, positions = expanded_search(index, embeddings, k, num_neighbors=expand, **settings)
    elif rerank:
        scores, positions = reranked_search(index, embeddings, k, **settings)
    else:
        scores, positions = index.search_positions(embeddings, k, min_score=min_score, **settings)
    return collect_answers(index, names, scores, positions)


def read_query(image: str | PathLike[str] | bytes | Image.Image) -> Image.Image:
    """Decode a query: a path of a file on this machine, an encoded file as bytes, or a picture that is decoded already.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read as an image.
        TypeError: It is something else.
    """
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, bytes):
        return read_image({"bytes": image, "path": None})
    if not isinstance(image, (str, Path)):
        raise TypeError(f"expected a path, the bytes of a file or a PIL image; got {type(image).__name__}")
    path = Path(image).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"expected the file of an image; there is no file {str(image)!r}")
    try:
        return read_image({"bytes": None, "path": str(path.resolve())})
    except ValueError as error:
        raise ValueError(f"expected an image in {image}; it cannot be read: {error}") from error
