"""Exact int64 codes of labels and ids of any type, by which queries and gallery are compared."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

Identifiers: TypeAlias = "torch.Tensor | np.ndarray[Any, Any] | Sequence[Hashable]"


def exact_codes(
    values: Identifiers, *others: Identifiers, name: str, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, ...]:
    """Convert labels or ids to int64 codes; equal values get equal codes, across all arguments.

    Integers are their own codes and are never converted to float (a float32 represents all integers only up to 2**24:
    the ids 100000001 and 100000002 become the same float). Other hashable values (strings, tuples) are numbered in
    order of appearance.

    Args:
        values: `(num_items,)` integers (tensor, array or sequence) that fit int64, or a sequence of hashable values.
        *others: Further values of the same type to compare with, such as the labels of the gallery.
        name: Name of the values for error messages, such as "labels".
        device: Device of the codes.

    Returns:
        One `(num_items,)` int64 tensor for each argument.

    Raises:
        TypeError: The values are floats, or one argument has integers and another has other values.
        ValueError: The values are not one-dimensional, or an integer needs more than 63 bits.

    Example:
        >>> exact_codes(["mug", "cup", "mug"], ["cup"], name="labels")
        (tensor([0, 1, 0]), tensor([1]))
        >>> exact_codes([2**62, 7], name="labels")
        (tensor([4611686018427387904,                   7]),)
    """
    sides = [_as_column(side, name) for side in (values, *others)]
    if all(isinstance(side, torch.Tensor) for side in sides):
        return tuple(side.to(device) for side in sides if isinstance(side, torch.Tensor))
    if any(isinstance(side, torch.Tensor) and len(side) for side in sides):
        raise TypeError(
            f"{name} must be of one type for queries and gallery, got integers for one and other values for the other, "
            "which are never equal. Convert one of them."
        )
    numbers: dict[Hashable, int] = {}
    return tuple(
        torch.tensor([numbers.setdefault(value, len(numbers)) for value in side], dtype=torch.int64, device=device)
        for side in sides
    )


def paired_ids(
    query_ids: Identifiers | None,
    gallery_ids: Identifiers | None,
    num_queries: int,
    num_gallery: int,
    device: torch.device,
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Convert the ids of queries and gallery to int64 codes that can be compared.

    Args:
        query_ids: `(num_queries,)` integers or hashable values; None for no ids.
        gallery_ids: `(num_gallery,)` of the same type; None for no ids.
        num_queries: Number of queries.
        num_gallery: Number of gallery rows.
        device: Device of the codes.

    Returns:
        `(num_queries,)` and `(num_gallery,)` int64, equal where the ids are equal; None if there are no ids.

    Raises:
        TypeError: The ids are floats, or of different types.
        ValueError: Only one of the two is given, or the number of ids is not that of the rows.
    """
    if query_ids is None and gallery_ids is None:
        return None
    if query_ids is None or gallery_ids is None:
        missing = "query_ids" if query_ids is None else "gallery_ids"
        raise ValueError(f"query_ids and gallery_ids must come together, {missing} is missing. Pass both or neither.")
    queries, gallery = exact_codes(query_ids, gallery_ids, name="ids", device=device)
    for name, codes, rows in (("query_ids", queries, num_queries), ("gallery_ids", gallery, num_gallery)):
        if len(codes) != rows:
            raise ValueError(
                f"{name} must have one id for each of the {rows} embeddings, got {len(codes)}. Pass the ids in "
                "the order of the rows."
            )
    return queries, gallery


def _as_column(values: Identifiers, name: str) -> torch.Tensor | list[Hashable]:
    """Return integers as a `(num_items,)` int64 tensor, and any other hashables as a list."""
    if isinstance(values, torch.Tensor):
        if values.dtype != torch.uint64:
            _check_column(values, name, is_float=values.is_floating_point() or values.is_complex())
            return values.detach().to(torch.int64)
        values = values.cpu().numpy()
    if isinstance(values, np.ndarray):
        _check_column(values, name, is_float=values.dtype.kind in "fc")
        if values.dtype.kind in "bi":
            return torch.from_numpy(values.astype(np.int64))
        values = values.tolist()
    if isinstance(values, (str, bytes)):
        raise TypeError(
            f"{name} must be a sequence with one value for each item, got the one string {values!r}. Pass a list."
        )
    integers = [int(value) for value in values if isinstance(value, (int, np.integer))]
    if len(integers) < len(values):
        if any(isinstance(value, (float, np.floating, torch.Tensor)) for value in values):
            raise TypeError(_float_message(name, "a sequence that contains floats or tensors"))
        return list(values)
    if integers and not -(2**63) <= min(integers) <= max(integers) < 2**63:
        raise ValueError(f"{name} must fit int64 (below 2**63), got {max(integers, key=abs)}. Pass them as strings.")
    return torch.tensor(integers, dtype=torch.int64)


def _check_column(values: torch.Tensor | np.ndarray[Any, Any], name: str, *, is_float: bool) -> None:
    if is_float:
        raise TypeError(_float_message(name, str(values.dtype)))
    if values.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, (num_items,), got shape {tuple(values.shape)}. Flatten it.")


def _float_message(name: str, received: str) -> str:
    return (
        f"{name} must be integers or strings, got {received}: float32 cannot tell integers above 2**24 apart. "
        "Keep them as int64 from the start, or convert with .long() if that loses nothing."
    )
