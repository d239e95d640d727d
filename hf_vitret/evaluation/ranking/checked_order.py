"""Embeddings and labels as a user gives them, checked and sorted by class."""

from __future__ import annotations

import torch

from hf_vitret.evaluation.ranking.class_order import ClassOrder
from hf_vitret.search.exact_codes import Identifiers, exact_codes, paired_ids
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
        embeddings: `(num_queries, dim)` float, the queries.
        labels: `(num_queries,)` integers or strings, exact whatever their size.
        gallery_embeddings: `(num_gallery, dim)` float. None: every item queries all the others.
        gallery_labels: `(num_gallery,)`, of the same kind as `labels`.
        query_ids: `(num_queries,)`; a gallery item with the id of the query is absent for it.
        gallery_ids: `(num_gallery,)`. Both or neither, and only with a gallery.

    Returns:
        The rows, sorted.

    Raises:
        TypeError: Embeddings are not floats, or labels or ids are.
        ValueError: Shapes do not match, an embedding is not finite, or arguments that belong together do not come so.

    Example:
        >>> checked_class_order(torch.eye(3), ["mug", "cup", "mug"]).query_order
        tensor([1, 0, 2])
    """
    check_embeddings(embeddings, "embeddings")
    if (gallery_embeddings is None) != (gallery_labels is None):
        raise ValueError("gallery_embeddings and gallery_labels must come together: pass both or neither.")
    if gallery_embeddings is None and (query_ids is not None or gallery_ids is not None):
        raise ValueError(
            "query_ids and gallery_ids need a gallery. Without one each item is left out of its own list by "
            "position: leave them out, or pass the gallery."
        )
    device = embeddings.device
    is_own_gallery = gallery_embeddings is None
    if gallery_embeddings is None or gallery_labels is None:
        (query_codes,) = exact_codes(labels, name="labels", device=device)
        gallery_embeddings, gallery_codes = embeddings, query_codes
        positions = torch.arange(len(embeddings), device=device)
        ids: tuple[torch.Tensor, torch.Tensor] | None = (positions, positions)
    else:
        check_embeddings(gallery_embeddings, "gallery_embeddings")
        check_same_dim(embeddings, gallery_embeddings)
        query_codes, gallery_codes = exact_codes(labels, gallery_labels, name="labels", device=device)
        ids = paired_ids(query_ids, gallery_ids, len(embeddings), len(gallery_embeddings), device)
    for name, codes, rows in (
        ("labels", query_codes, len(embeddings)),
        ("gallery_labels", gallery_codes, len(gallery_embeddings)),
    ):
        if len(codes) != rows:
            raise ValueError(f"{name} must have one label for each of the {rows} embeddings, got {len(codes)}.")
    return ClassOrder(embeddings, query_codes, gallery_embeddings, gallery_codes, ids, is_own_gallery=is_own_gallery)
