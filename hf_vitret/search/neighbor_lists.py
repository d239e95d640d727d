"""Checks of neighbour lists (`scores` and `indices`, as `nearest_neighbors` or an index returns them)."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from hf_vitret.search.inner_products import check_embeddings, check_same_dim

# Entries of lists checked at once: 32 MB of int64.
_ENTRIES = 4_000_000


def check_neighbor_lists(
    query_embeddings: torch.Tensor,
    gallery_embeddings: torch.Tensor,
    scores: torch.Tensor,
    indices: torch.Tensor,
    *,
    prefix: str = "",
) -> None:
    """Check that neighbour lists, from any index, are valid for these queries and this gallery.

    Args:
        query_embeddings: `(num_queries, dim)` float.
        gallery_embeddings: `(num_gallery, dim)` float.
        scores: `(num_queries, k)` float, descending: inner products, not distances. The score of an index of -1 is
            not read.
        indices: `(num_queries, k)` int64 gallery rows, distinct within each list; -1 at the end of a list that has
            fewer than k neighbours.
        prefix: Prefix of the names `scores` and `indices` in error messages.

    Raises:
        ValueError: An embedding is not finite, shapes or devices do not match, an index is outside the gallery, comes
            after a -1 or occurs twice in its list, or a score is not finite or larger than the one before it.
        TypeError: Embeddings or scores are not floating-point tensors, or indices are not int64 tensors.
    """
    check_embeddings(query_embeddings, "query_embeddings")
    if gallery_embeddings is not query_embeddings:
        check_embeddings(gallery_embeddings, "gallery_embeddings")
        check_same_dim(query_embeddings, gallery_embeddings)
    names = f"{prefix}scores", f"{prefix}indices"
    for part, name in zip((scores, indices), names, strict=True):
        if not isinstance(part, torch.Tensor):
            raise TypeError(
                f"expected {name} as a tensor; got {type(part).__name__}: convert an array by torch.from_numpy"
            )
    if not scores.is_floating_point() or indices.dtype != torch.int64:
        raise TypeError(
            f"expected {names[0]} of floats and {names[1]} of int64; got {scores.dtype} and {indices.dtype}"
        )
    if scores.dim() != 2 or scores.shape != indices.shape or len(scores) != len(query_embeddings):
        raise ValueError(
            f"expected {' and '.join(names)} of shape ({len(query_embeddings)}, k), one row for each query; got "
            f"{tuple(scores.shape)} and {tuple(indices.shape)}"
        )
    if not scores.device == indices.device == query_embeddings.device:
        raise ValueError(
            f"expected {' and '.join(names)} on {query_embeddings.device}, where the embeddings are; got "
            f"{scores.device} and {indices.device}: move them with .to(...)"
        )
    if indices.numel() and not (int(indices.min()) >= -1 and int(indices.max()) < len(gallery_embeddings)):
        raise ValueError(
            f"expected {names[1]} from -1 to {len(gallery_embeddings) - 1}, rows of the gallery; got "
            f"{int(indices.min())} to {int(indices.max())}: pass the lists of this gallery"
        )
    at_once = max(1, _ENTRIES // max(1, indices.shape[1]))
    for start in range(0, len(indices), at_once):
        _check_order(scores[start : start + at_once], indices[start : start + at_once], start, names)


def _check_order(scores: torch.Tensor, indices: torch.Tensor, first_row: int, names: tuple[str, str]) -> None:
    """Check that each list is in order: distinct indices, -1 at the end, finite scores that descend."""
    is_item = indices >= 0
    in_order = indices.sort(dim=1).values
    broken = {
        f"{names[1]} with -1 only at the end of a row": is_item[:, 1:] & ~is_item[:, :-1],
        f"finite {names[0]}": is_item & ~scores.isfinite(),
        f"{names[0]} that descend along a row (if they are distances, change their sign)": is_item[:, 1:]
        & ~(scores[:, 1:] <= scores[:, :-1]),
        f"{names[1]} that are distinct within a row": (in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] >= 0),
    }
    for expected, is_broken in broken.items():
        if bool(is_broken.any()):
            row = int(is_broken.any(dim=1).nonzero()[0])
            raise ValueError(
                f"expected {expected}; row {first_row + row} has scores {_shown(scores[row])}, indices "
                f"{_shown(indices[row])}"
            )


def _shown(row: torch.Tensor) -> str:
    return f"[{', '.join(f'{value:.6g}' for value in row[:8].tolist())}{', ...' if len(row) > 8 else ''}]"


def check_without_self(indices: torch.Tensor) -> None:
    """Check that no gallery item is among its own neighbours.

    Args:
        indices: `(num_gallery, k)` int64 gallery rows, row i the neighbours of item i.

    Raises:
        ValueError: An item is among its own neighbours; the message names its row.
    """
    for start, is_self in _self_masks(indices):
        if bool(is_self.any()):
            row = start + int(is_self.any(dim=1).nonzero()[0])
            raise ValueError(
                f"expected the neighbours of each item without the item itself; row {row} lists itself: search with "
                "query_ids and gallery_ids, or remove the items by hf_vitret.search.neighbor_lists.without_self"
            )


def without_self(scores: torch.Tensor, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Remove each item from its own list: an index that is searched without ids finds the item itself too.

    Args:
        scores: `(num_gallery, k)` float, descending.
        indices: `(num_gallery, k)` int64 gallery rows, row i the neighbours of item i.

    Returns:
        Scores and indices, `(num_gallery, k - 1)` each. A list that does not contain its item, because more than k
        duplicates have the same score, loses its last entry.

    Raises:
        ValueError: The two do not have the same shape `(num_gallery, k)`, k at least 1.

    Example:
        >>> without_self(torch.tensor([[1.0, 0.5, 0.25]]), torch.tensor([[0, 2, 1]]))
        (tensor([[0.5000, 0.2500]]), tensor([[2, 1]]))
    """
    if scores.dim() != 2 or scores.shape != indices.shape or not scores.shape[1]:
        raise ValueError(
            f"expected scores and indices of one shape (num_gallery, k), k at least 1; got {tuple(scores.shape)} and "
            f"{tuple(indices.shape)}: pass both parts of one search result"
        )
    shape = len(indices), indices.shape[1] - 1
    left_scores, left = scores.new_empty(shape), indices.new_empty(shape)
    for start, is_self in _self_masks(indices):
        is_self[:, -1] |= ~is_self.any(dim=1)
        rows = slice(start, start + len(is_self))
        left_scores[rows] = scores[rows][~is_self].view(-1, shape[1])
        left[rows] = indices[rows][~is_self].view(-1, shape[1])
    return left_scores, left


def _self_masks(indices: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield parts of the lists: the first row, and a mask of the entries that are the list's own item, `(rows, k)`."""
    at_once = max(1, _ENTRIES // max(1, indices.shape[1]))
    for rows in torch.split(torch.arange(len(indices), device=indices.device), at_once):
        yield int(rows[0]), indices[rows] == rows.unsqueeze(1)
