"""Neighbour lists, `scores` and `indices`, as `nearest_neighbors` returns them and an index does."""

from __future__ import annotations

import torch

from hf_vitret.search.inner_products import check_embeddings, check_same_dim


def check_neighbor_lists(
    query_embeddings: torch.Tensor, gallery_embeddings: torch.Tensor, scores: torch.Tensor, indices: torch.Tensor
) -> None:
    """Check that lists belong to these queries and this gallery.

    Args:
        query_embeddings: `(num_queries, dim)` float.
        gallery_embeddings: `(num_gallery, dim)` float.
        scores: `(num_queries, k)` float, descending.
        indices: `(num_queries, k)` int64 gallery rows, -1 where there are no more.

    Raises:
        ValueError: An embedding is not finite, shapes do not match, or an index is outside the gallery.
        TypeError: Embeddings or scores are not floats, or indices no int64.
    """
    check_embeddings(query_embeddings, "query_embeddings")
    check_embeddings(gallery_embeddings, "gallery_embeddings")
    check_same_dim(query_embeddings, gallery_embeddings)
    if not scores.is_floating_point() or indices.dtype != torch.int64:
        raise TypeError(f"expected scores of floats and int64 indices; got {scores.dtype} and {indices.dtype}")
    if scores.dim() != 2 or scores.shape != indices.shape or len(scores) != len(query_embeddings):
        raise ValueError(
            f"expected scores and indices of shape ({len(query_embeddings)}, k), one row a query; got "
            f"{tuple(scores.shape)} and {tuple(indices.shape)}"
        )
    if indices.numel() and not (int(indices.min()) >= -1 and int(indices.max()) < len(gallery_embeddings)):
        raise ValueError(
            f"expected indices from -1 to {len(gallery_embeddings) - 1}, rows of the gallery; got "
            f"{int(indices.min())} to {int(indices.max())}: are the lists of another gallery?"
        )
