"""Positions of some entries of a matrix: of the true ones of a mask, and of each entry among those of its row."""

from __future__ import annotations

import torch


def true_positions(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the true entries of a mask of which few are, eight neighbouring booleans at a time, read as one int64.

    Args:
        mask: `(rows, columns)` bool, contiguous, columns a multiple of 8.

    Returns:
        Their rows and their columns, `(num_true,)` int64 each, in order.

    Example:
        >>> true_positions(torch.tensor([[False] * 8, [False, True, False, False, False, False, False, True]]))
        (tensor([1, 1]), tensor([1, 7]))
    """
    row, word = mask.view(torch.int64).nonzero().unbind(dim=1)  # (num_words,) each
    hit, byte = mask.view(len(mask), -1, 8)[row, word].nonzero().unbind(dim=1)  # (num_true,) each
    return row[hit], word[hit] * 8 + byte


def positions_in_rows(rows: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Number the entries of each row from 0, where all entries of a row lie together, the rows in order.

    Args:
        rows: `(num_entries,)` int64, ascending.
        counts: `(num_rows,)` int64, the entries of each row.

    Returns:
        `(num_entries,)` int64.

    Example:
        >>> positions_in_rows(torch.tensor([0, 0, 2, 2, 2]), torch.tensor([2, 0, 3]))
        tensor([0, 1, 0, 1, 2])
    """
    return torch.arange(len(rows), device=rows.device) - (counts.cumsum(dim=0) - counts)[rows]
