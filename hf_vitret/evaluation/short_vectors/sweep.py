"""`short_vectors`: R@1 and MAP@R of vectors for every dimension, reduction and precision, by exact search."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F
from tqdm.auto import tqdm

from ...compression.pca import PCA
from ...compression.quantization import PRECISIONS, bytes_per_vector
from ...search.exact_codes import Identifiers
from ...search.inner_products import check_embeddings, check_same_dim
from ..ranking.search_codes import SearchCodes
from .table import ShortVectors, ShortVectorScore
from .task import ShortVectorTask, Vectors

# Dimensions that are scored besides the model's own.
DIMS = (256, 128, 64, 32, 16)
REDUCTIONS = ("pca", "pca_whitened", "first_d")
# Whitening divides each component by a positive number, so the signs of these two are the same.
_SAME_SIGNS = (("pca", "pca_whitened"), ("first_d",))


def short_vectors(
    train_features: torch.Tensor,
    features: torch.Tensor,
    labels: Identifiers,
    gallery_features: torch.Tensor | None = None,
    gallery_labels: Identifiers | None = None,
    *,
    query_ids: Identifiers | None = None,
    gallery_ids: Identifiers | None = None,
    dims: Sequence[int] | None = None,
    reductions: Sequence[str] = REDUCTIONS,
    precisions: Sequence[str] = tuple(PRECISIONS),
    shortlist: int = 100,
    progress: bool = True,
) -> ShortVectors:
    """Score the vectors of a model for every dimension, reduction and storage precision, by exact search.

    Features of queries and gallery are reduced, then L2-normalised, then stored in the precision. The reductions `pca`
    and `pca_whitened` are fitted on the train split; `first_d` keeps the first dimensions (with all dimensions, these
    are the embeddings themselves). The score of two vectors is:

    - float32, float16: the inner product of the stored vectors.
    - int8: the inner product of the integers, with one scale for all dimensions, from the train split.
    - binary: the Hamming distance of the signs. It has few distinct values, and ties are pessimistic, as in
      `retrieval_metrics`: a positive ranks behind every negative at the same distance.
    - binary_rescored: the `shortlist` nearest items by Hamming distance, ranked by the inner product of the float query
      with the stored bits. It takes no more bytes than binary. A positive outside the shortlist counts as not found,
      and so does one that ties with the first item left out. MAP@R suffers from this if classes are larger than the
      shortlist.

    Args:
        train_features: `(num_train, width)` float, features of the train split before the L2 norm, as
            `embed_images(normalize=False)` returns them; on any device.
        features: `(num_queries, width)` float, features of the queries before the L2 norm.
        labels: `(num_queries,)` integers or strings, the class of each query. Floats are refused.
        gallery_features: `(num_gallery, width)` float, features of the gallery before the L2 norm. `None` evaluates
            leave-one-out: each query searches all the others.
        gallery_labels: `(num_gallery,)`, of the same kind as `labels`. Required with `gallery_features`, refused
            without it.
        query_ids: `(num_queries,)` integers, strings or tuples. A gallery item whose id equals that of the query is
            left out of the query's list. `None` leaves no item out.
        gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`. Required with `query_ids`, and only with a
            gallery.
        dims: Numbers of dimensions; those above `width` are ignored. `None` takes `width`, 256, 128, 64, 32 and 16.
        reductions: Names out of `"pca"`, `"pca_whitened"` and `"first_d"`; all by default.
        precisions: Names out of `"float32"`, `"float16"`, `"int8"`, `"binary"` and `"binary_rescored"`; all by default.
        shortlist: Number of candidates that `binary_rescored` ranks again for each query, at least 1.
        progress: Whether to show a progress bar.

    Returns:
        The table of scores. It omits whitening to more dimensions than the rank of the train features (a LayerNorm
        lowers the rank by one).

    Raises:
        TypeError: Features are not floats, or labels or ids are floats or of different kinds in queries and gallery.
        ValueError: A feature is NaN or infinite, shapes do not match, labels or ids come without their counterpart or
            without a gallery, a name is unknown, no dimension is left, the train split has too few rows for the
            dimensions, or the shortlist is below 1.

    Reference:
        El-Nouby et al., arXiv 2102.05644, table 2: a ViT-S keeps R@1 83.4 of 84.0 at 128 dimensions of PCA.
    """
    sides = [train_features, features, features if gallery_features is None else gallery_features]
    for name, side in zip(("train_features", "features", "gallery_features"), sides, strict=True):
        check_embeddings(side, name)
        check_same_dim(features, side)
    dims = _check_settings(features.shape[1], dims, reductions, precisions, shortlist)
    codes = SearchCodes.of(features, labels, gallery_features, gallery_labels, query_ids, gallery_ids, name="features")
    task = ShortVectorTask(codes)
    reduced = _Reduced(sides, reductions, dims[0])
    omitted = [(dim, "pca_whitened") for dim in dims if "pca_whitened" in reductions and dim > reduced.rank]
    if len(omitted) == len(dims) * len(reductions):
        raise ValueError(
            f"expected a dim up to {reduced.rank} to whiten, the rank of the train features; got {dims}. Pass a "
            "smaller dim"
        )
    num_cells = (len(dims) * len(reductions) - len(omitted)) * len(precisions)

    cells: dict[tuple[int, str, str], dict[str, float | int]] = {}
    with tqdm(total=num_cells, desc="Short vectors", unit="cell", disable=not progress, leave=False) as bar:
        for dim in dims:
            for names in _SAME_SIGNS:
                wanted = [name for name in names if name in reductions and (dim, name) not in omitted]
                vectors = {name: reduced.to(dim, name) for name in wanted}
                for precision in precisions if vectors else ():
                    scores = task.score(vectors, precision, shortlist)
                    cells.update({(dim, name, precision): score for name, score in scores.items()})
                    bar.update(len(scores))
    return ShortVectors(
        tuple(
            ShortVectorScore(
                dim,
                reduction,
                precision,
                bytes_per_vector(dim, precision),
                cells[dim, reduction, precision]["recall_at_1"],
                cells[dim, reduction, precision]["map_at_r"],
            )
            for dim in dims
            for reduction in reductions
            for precision in precisions
            if (dim, reduction, precision) in cells
        ),
        num_train=len(train_features),
        num_queries=len(features),
        num_queries_without_positive=int(next(iter(cells.values()))["num_queries_without_positive"]),
        num_gallery=len(sides[2]),
        shortlist=shortlist,
        omitted=tuple(omitted),
    )


class _Reduced:
    """Features projected once for all dimensions: shorter vectors are the first columns of the projections.

    Attributes:
        rank: The largest number of dimensions that can be whitened.
    """

    def __init__(self, sides: Sequence[torch.Tensor], reductions: Sequence[str], dim: int) -> None:
        self._features, self.rank = sides, 0
        if set(reductions) & set(_SAME_SIGNS[0]):
            pca = PCA.fit(sides[0], dim)
            self.rank, self._deviations = pca.rank, pca.explained_variance.sqrt().float()
            train, queries, gallery = sides
            projected = pca.project(queries)
            self._projected = [pca.project(train), projected, projected if gallery is queries else pca.project(gallery)]

    def to(self, dim: int, reduction: str) -> Vectors:
        """Return unit-norm rows of `dim` dimensions."""
        train, queries, gallery = self._features if reduction == "first_d" else self._projected
        scale = self._deviations[:dim] if reduction == "pca_whitened" else torch.ones(dim)
        unit_queries = _unit_rows(queries, scale)
        unit_gallery = unit_queries if gallery is queries else _unit_rows(gallery, scale)
        return Vectors(_unit_rows(train, scale), unit_queries, unit_gallery)


def _unit_rows(features: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Divide the first columns by their scale, and normalise the rows."""
    return F.normalize(features[:, : len(scale)].float() / scale.to(features.device), dim=1)


def _check_settings(
    width: int, dims: Sequence[int] | None, reductions: Sequence[str], precisions: Sequence[str], shortlist: int
) -> list[int]:
    """Return the dimensions up to the width, descending and without duplicates.

    Raises:
        ValueError: A name is unknown, no dimension is left, or the shortlist is below 1.
    """
    for name, given, known in (("reductions", reductions, REDUCTIONS), ("precisions", precisions, tuple(PRECISIONS))):
        if not given or not set(given) <= set(known):
            raise ValueError(
                f"{name} must be some of {', '.join(known)}; got {', '.join(given) or 'none'}. Choose from these"
            )
    chosen = sorted({dim for dim in ((width, *DIMS) if dims is None else dims) if dim <= width}, reverse=True)
    if not chosen or chosen[-1] < 1:
        raise ValueError(
            f"expected dims from 1 to {width}, as the features have; got {list(dims or ())}. Pass None for the defaults"
        )
    if shortlist < 1:
        raise ValueError(
            f"shortlist must be at least 1, got {shortlist}. Pass the number of candidates to rescore for each query"
        )
    return chosen
