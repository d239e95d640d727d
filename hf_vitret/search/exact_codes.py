"""Labels and ids of any kind as exact int64 codes that two sides can be compared by."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

Identifiers: TypeAlias = "torch.Tensor | np.ndarray[Any, Any] | Sequence[Hashable]"


def exact_codes(
    values: Identifiers, *others: Identifiers, name: str, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, ...]:
    """Turn labels or ids into int64 codes: equal values get equal codes, across all the arguments.

    Integers are kept as they are, never by way of a float (a float32 holds integers up to 2**24 only: the ids
    100000001 and 100000002 are the same float). Anything else that hashes (strings, tuples) is numbered in
    order of appearance.

    Args:
        values: `(num_items,)` integers (tensor, array or sequence; up to 2**63 - 1) or a sequence of
            hashables.
        *others: More sides of the same kind, such as the labels of the gallery.
        name: What the values are ("labels"), for the error messages.
        device: Where the codes go.

    Returns:
        One `(num_items,)` int64 tensor for each argument.

    Raises:
        TypeError: The values are floats, or one side holds integers and another does not.
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
            f"{name} must be of one kind on both sides, got integers on one and other values on the other: "
            "they can never be equal. Convert one side."
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
    """Return the ids of both sides as comparable int64 codes, or None when neither side has any.

    Returns:
        `(num_queries,)` and `(num_gallery,)` int64, equal where the ids are.

    Raises:
        TypeError: The ids are floats, or of different kinds.
        ValueError: Only one side is given, or a side does not have one id a row.
    """
    if query_ids is None and gallery_ids is None:
        return None
    if query_ids is None or gallery_ids is None:
        missing = "query_ids" if query_ids is None else "gallery_ids"
        raise ValueError(f"query_ids and gallery_ids must come together, {missing} is missing. Pass both or neither.")
    queries, gallery = exact_codes(query_ids, gallery_ids, name="ids", device=device)
    for name, codes, rows in (("query_ids", queries, num_queries), ("gallery_ids", gallery, num_gallery)):
        if len(codes) != rows:
            raise ValueError(f"{name} must have one id for each of the {rows} embeddings, got {len(codes)}.")
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
        raise TypeError(f"{name} must be a sequence with one value an item, got the one string {values!r}.")
    integers = [int(value) for value in values if isinstance(value, (int, np.integer))]
    if len(integers) < len(values):
        if any(isinstance(value, (float, np.floating, torch.Tensor)) for value in values):
            raise TypeError(_float_message(name, "a sequence with floats or tensors in it"))
        return list(values)
    if integers and not -(2**63) <= min(integers) <= max(integers) < 2**63:
        raise ValueError(f"{name} must fit int64 (below 2**63), got {max(integers, key=abs)}. Pass them as strings.")
    return torch.tensor(integers, dtype=torch.int64)


def _check_column(values: torch.Tensor | np.ndarray[Any, Any], name: str, *, is_float: bool) -> None:
    if is_float:
        raise TypeError(_float_message(name, str(values.dtype)))
    if values.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, (num_items,), got shape {tuple(values.shape)}.")


def _float_message(name: str, received: str) -> str:
    return (
        f"{name} must be integers or strings, got {received}: floats merge integers above 2**24. "
        "Keep them as int64 from the start, or convert with .long() if that loses nothing."
    )
