"""Neighbour lists, `scores` and `indices`, as `nearest_neighbors` returns them and an index does."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from hf_vitret.search.inner_products import check_embeddings, check_same_dim

# Entries of lists looked at once: 32 MB of int64.
_ENTRIES = 4_000_000


def check_neighbor_lists(
    query_embeddings: torch.Tensor,
    gallery_embeddings: torch.Tensor,
    scores: torch.Tensor,
    indices: torch.Tensor,
    *,
    prefix: str = "",
) -> None:
    """Check that lists belong to these queries and this gallery, whichever index made them.

    Args:
        query_embeddings: `(num_queries, dim)` float.
        gallery_embeddings: `(num_gallery, dim)` float.
        scores: `(num_queries, k)` float, descending: inner products, no distances. What stands beside an index of -1
            is not read.
        indices: `(num_queries, k)` int64 gallery rows, distinct within a row; -1 where there are no more.
        prefix: Of the names of `scores` and `indices`, for the error messages.

    Raises:
        ValueError: An embedding is not finite, shapes or devices do not match, an index is outside the gallery, stands
            behind a -1 or twice in its row, or a score is not finite or rises along its row.
        TypeError: Embeddings or scores are no tensors of floats, or indices none of int64.
    """
    check_embeddings(query_embeddings, "query_embeddings")
    if gallery_embeddings is not query_embeddings:
        check_embeddings(gallery_embeddings, "gallery_embeddings")
        check_same_dim(query_embeddings, gallery_embeddings)
    names = f"{prefix}scores", f"{prefix}indices"
    for part, name in zip((scores, indices), names, strict=True):
        if not isinstance(part, torch.Tensor):
            raise TypeError(
                f"expected {name} as a tensor; got {type(part).__name__}: an array becomes one by torch.from_numpy"
            )
    if not scores.is_floating_point() or indices.dtype != torch.int64:
        raise TypeError(f"expected {names[0]} of floats and int64 indices; got {scores.dtype} and {indices.dtype}")
    if scores.dim() != 2 or scores.shape != indices.shape or len(scores) != len(query_embeddings):
        raise ValueError(
            f"expected {' and '.join(names)} of shape ({len(query_embeddings)}, k), one row a query; got "
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
            f"{int(indices.min())} to {int(indices.max())}: are the lists of another gallery?"
        )
    at_once = max(1, _ENTRIES // max(1, indices.shape[1]))
    for start in range(0, len(indices), at_once):
        _check_order(scores[start : start + at_once], indices[start : start + at_once], start, names)


def _check_order(scores: torch.Tensor, indices: torch.Tensor, first_row: int, names: tuple[str, str]) -> None:
    """Check each row of some lists by itself."""
    is_item = indices >= 0
    in_order = indices.sort(dim=1).values
    broken = {
        f"{names[1]} with -1 at the end alone": is_item[:, 1:] & ~is_item[:, :-1],
        f"finite {names[0]}": is_item & ~scores.isfinite(),
        f"{names[0]} that descend along a row (a distance is no score: turn its sign)": is_item[:, 1:]
        & ~(scores[:, 1:] <= scores[:, :-1]),
        f"{names[1]} that name an item once in a row": (in_order[:, 1:] == in_order[:, :-1]) & (in_order[:, 1:] >= 0),
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
    """Check that no item is among its own neighbours.

    Args:
        indices: `(num_gallery, k)` int64 gallery rows.

    Raises:
        ValueError: An item is.
    """
    for start, is_self in _self_places(indices):
        if bool(is_self.any()):
            row = start + int(is_self.any(dim=1).nonzero()[0])
            raise ValueError(
                f"expected the neighbours of an item without the item, which counts by itself; row {row} lists itself: "
                "search with query_ids and gallery_ids, or take it out by "
                "hf_vitret.search.neighbor_lists.without_self"
            )


def without_self(scores: torch.Tensor, indices: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Take each item out of its own list, as an index that knows of no ids returns it.

    Args:
        scores: `(num_gallery, k)` float, descending.
        indices: `(num_gallery, k)` int64 gallery rows, row i the neighbours of item i.

    Returns:
        Both of shape `(num_gallery, k - 1)`. A list that does not hold its item, as where more than k duplicates tie,
        loses its last entry.

    Raises:
        ValueError: The lists are not of one shape `(num_gallery, k)`, k at least 1.

    Example:
        >>> without_self(torch.tensor([[1.0, 0.5, 0.25]]), torch.tensor([[0, 2, 1]]))
        (tensor([[0.5000, 0.2500]]), tensor([[2, 1]]))
    """
    if scores.dim() != 2 or scores.shape != indices.shape or not scores.shape[1]:
        raise ValueError(
            f"expected scores and indices of one shape (num_gallery, k), k at least 1; got {tuple(scores.shape)} and "
            f"{tuple(indices.shape)}"
        )
    shape = len(indices), indices.shape[1] - 1
    left_scores, left = scores.new_empty(shape), indices.new_empty(shape)
    for start, is_self in _self_places(indices):
        is_self[:, -1] |= ~is_self.any(dim=1)
        rows = slice(start, start + len(is_self))
        left_scores[rows] = scores[rows][~is_self].view(-1, shape[1])
        left[rows] = indices[rows][~is_self].view(-1, shape[1])
    return left_scores, left


def _self_places(indices: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the first row of some lists, and where they name their own item, `(rows, k)` bool."""
    at_once = max(1, _ENTRIES // max(1, indices.shape[1]))
    for rows in torch.split(torch.arange(len(indices), device=indices.device), at_once):
        yield int(rows[0]), indices[rows] == rows.unsqueeze(1)
