"""What shorter and coarser vectors cost: every dimension, reduction and precision, scored exactly."""

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

# Dimensions scored beside the model's own.
DIMS = (256, 128, 64, 32, 16)
REDUCTIONS = ("pca", "pca_whitened", "first_d")
# Whitening divides each component by a number above 0: the signs of these two are the same.
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
    """Score a model's vectors at every dimension, by every reduction, in every precision.

    Features are reduced, then normalised, then stored in the precision; queries and gallery alike. `pca` and
    `pca_whitened` are fitted on the train split, `first_d` keeps the first dimensions (all of them: the embeddings as
    they are). The score of two vectors is:

    - float32, float16: the inner product of what is stored.
    - int8: the inner product of the integers; one scale for all dimensions, from the train split.
    - binary: the Hamming distance of the signs. It takes few values, and ties are pessimistic, as in
      `retrieval_metrics`: a right item counts as behind every wrong one at its distance.
    - binary_rescored: the `shortlist` nearest by Hamming distance, ranked by the float query with the stored bits. It
      takes no more bytes than binary. A right item outside the shortlist is not found, nor is one that ties with the
      first item left out. MAP@R of classes larger than the shortlist suffers from that.

    Args:
        train_features: `(num_train, width)` float, before the L2 norm: `embed_images(normalize=False)`. On any device.
        features: `(num_queries, width)` float, the same of the test split.
        labels: `(num_queries,)` integers or strings.
        gallery_features: `(num_gallery, width)` float. None: leave-one-out.
        gallery_labels: `(num_gallery,)`.
        query_ids: As for `retrieval_metrics`.
        gallery_ids: As for `retrieval_metrics`.
        dims: Dimensions; those above the model's are left out. None: the model's, 256, 128, 64, 32 and 16.
        reductions: Of `REDUCTIONS`.
        precisions: Of `PRECISIONS`.
        shortlist: Candidates that are rescored.
        progress: Whether to show a bar.

    Returns:
        The table. Whitening to more dimensions than the features have variance in (a LayerNorm takes one away) is
        omitted from it.

    Raises:
        TypeError: Features are not floats, or labels or ids are.
        ValueError: A feature is not finite, shapes do not match, a name is unknown, no dimension is left, the train
            split has too few rows for them, or the shortlist is below 1.

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
            f"expected a dim up to {reduced.rank} to whiten, the rank of the train features; got {dims}: ask for less"
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
    """Features projected once for all dimensions: shorter vectors are their first columns.

    Attributes:
        rank: The most dimensions that can be whitened.
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
    """Return the dimensions up to the width, descending, each once.

    Raises:
        ValueError: A name is unknown, no dimension is left, or the shortlist is below 1.
    """
    for name, given, known in (("reductions", reductions, REDUCTIONS), ("precisions", precisions, tuple(PRECISIONS))):
        if not given or not set(given) <= set(known):
            raise ValueError(f"{name} must be some of {', '.join(known)}; got {', '.join(given) or 'none'}")
    chosen = sorted({dim for dim in ((width, *DIMS) if dims is None else dims) if dim <= width}, reverse=True)
    if not chosen or chosen[-1] < 1:
        raise ValueError(f"expected dims from 1 to {width}, as the features have; got {list(dims or ())}")
    if shortlist < 1:
        raise ValueError(f"shortlist must be at least 1, got {shortlist}: it is how many candidates are rescored")
    return chosen
