"""`checked_class_order`: checks embeddings, labels and ids as a user passes them, and sorts them by class."""

from __future__ import annotations

import torch

from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.evaluation.ranking.search_codes import SearchCodes
from hf_vitret.search.exact_codes import Identifiers
from hf_vitret.search.inner_products import check_embeddings, check_same_dim


def checked_class_order(
    embeddings: torch.Tensor,
    labels: Identifiers,
    gallery_embeddings: torch.Tensor | None = None,
    gallery_labels: Identifiers | None = None,
    *,
    query_ids: Identifiers | None = None,
    gallery_ids: Identifiers | None = None,
) -> ClassOrder:
    """Check queries and gallery, or queries alone (leave-one-out), and sort them by class.

    Args:
        embeddings: `(num_queries, dim)` float, the embeddings of the queries.
        labels: `(num_queries,)` integers or strings, the class of each query; integers of any size stay exact.
        gallery_embeddings: `(num_gallery, dim)` float. `None`: every item is a query, and searches all the others.
        gallery_labels: `(num_gallery,)`, of the same kind as `labels`.
        query_ids: `(num_queries,)` integers, strings or tuples. A gallery item with the id of the query is left out of
            its list.
        gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`. Both or neither, and only with a gallery.

    Returns:
        The sorted rows.

    Raises:
        TypeError: Embeddings are not floats, or labels or ids are floats.
        ValueError: Shapes do not match, an embedding is NaN or infinite, or labels or ids come without their
            counterpart.

    Example:
        >>> checked_class_order(torch.eye(3), ["mug", "cup", "mug"]).query_order
        tensor([1, 0, 2])
    """
    check_embeddings(embeddings, "embeddings")
    if gallery_embeddings is not None:
        check_embeddings(gallery_embeddings, "gallery_embeddings")
        check_same_dim(embeddings, gallery_embeddings)
    codes = SearchCodes.of(embeddings, labels, gallery_embeddings, gallery_labels, query_ids, gallery_ids)
    gallery = embeddings if gallery_embeddings is None else gallery_embeddings
    return ClassOrder(
        embeddings, codes.labels, gallery, codes.gallery_labels, codes.ids, is_own_gallery=codes.is_own_gallery
    )
