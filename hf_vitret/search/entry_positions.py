"""Positions in a matrix: of the true entries of a mask, and of each listed entry within its row."""

from __future__ import annotations

import torch


def true_positions(mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the true entries of a mask that has few of them.

    Eight neighbouring booleans are read as one int64 first, so that most of the mask is read eight times as fast.

    Args:
        mask: `(rows, columns)` bool, contiguous; the number of columns is a multiple of 8.

    Returns:
        The rows and the columns of the true entries, `(num_true,)` int64 each, row by row from left to right.

    Example:
        >>> true_positions(torch.tensor([[False] * 8, [False, True, False, False, False, False, False, True]]))
        (tensor([1, 1]), tensor([1, 7]))
    """
    row, word = mask.view(torch.int64).nonzero().unbind(dim=1)  # (num_words,) each
    hit, byte = mask.view(len(mask), -1, 8)[row, word].nonzero().unbind(dim=1)  # (num_true,) each
    return row[hit], word[hit] * 8 + byte


def positions_in_rows(rows: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Number the entries of each row from 0.

    Args:
        rows: `(num_entries,)` int64, the row of each entry, ascending.
        counts: `(num_rows,)` int64, the number of entries in each row.

    Returns:
        `(num_entries,)` int64, the number of each entry within its row.

    Example:
        >>> positions_in_rows(torch.tensor([0, 0, 2, 2, 2]), torch.tensor([2, 0, 3]))
        tensor([0, 1, 0, 1, 2])
    """
    return torch.arange(len(rows), device=rows.device) - (counts.cumsum(dim=0) - counts)[rows]
