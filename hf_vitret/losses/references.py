"""`Pairs`: the anchors of a loss and the references they are compared with, after checks that all losses share."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Pairs(NamedTuple):
    """Anchors and references after the checks, all on one device.

    Attributes:
        embeddings: ``(batch, dim)`` float, the anchors.
        labels: ``(batch,)`` int64, the labels of the anchors.
        ref_embeddings: ``(num_refs, dim)`` float, the references: the anchors themselves where none were given.
        ref_labels: ``(num_refs,)`` int64, the labels of the references.
        self_index: ``(batch,)`` int64, the row of each anchor among the references; ``None`` where no anchor is among
            them.
    """

    embeddings: Tensor
    labels: Tensor
    ref_embeddings: Tensor
    ref_labels: Tensor
    self_index: Tensor | None


def resolve_pairs(
    embeddings: Tensor,
    labels: Tensor,
    ref_embeddings: Tensor | None = None,
    ref_labels: Tensor | None = None,
    self_index: Tensor | None = None,
) -> Pairs:
    """Check the arguments of a loss and fill in the batch itself where no references are given.

    Args:
        embeddings: ``(batch, dim)`` float, unit L2 norm. The norm is not checked: it would take a pass over the data
            and make the host wait for the device.
        labels: ``(batch,)`` integer, the labels of the anchors.
        ref_embeddings: ``(num_refs, dim)`` float; ``None`` for the batch itself.
        ref_labels: ``(num_refs,)`` integer, the labels of the references; given exactly when ``ref_embeddings`` is.
        self_index: ``(batch,)`` integer in ``[0, num_refs)``, the row of each anchor among the references; ``None``
            when no anchor is among them. It is refused without references, where it has no meaning.

    Returns:
        The checked tensors.

    Raises:
        ValueError: if a shape, a length, a device or an index does not fit.
        TypeError: if embeddings are not floating point, or labels or indices are not integers.
    """
    labels = check_rows(embeddings, labels)
    if len(embeddings) == 0:
        raise ValueError("Expected at least one anchor, got an empty batch; skip the step instead.")
    if ref_embeddings is None or ref_labels is None:
        if ref_embeddings is not None or ref_labels is not None:
            missing = "ref_labels" if ref_labels is None else "ref_embeddings"
            raise ValueError(f"Expected ref_embeddings and ref_labels together, got no {missing}; pass both.")
        if self_index is not None:
            raise ValueError(
                "Expected self_index only with ref_embeddings, got it alone; without references the batch is compared "
                "with itself, and self pairs are left out already. Drop self_index."
            )
        own_rows = torch.arange(len(embeddings), device=embeddings.device)  # (batch,)
        return Pairs(embeddings, labels, embeddings, labels, own_rows)
    ref_labels = check_rows(ref_embeddings, ref_labels, prefix="ref_")
    if ref_embeddings.shape[1] != embeddings.shape[1]:
        raise ValueError(
            f"Expected ref_embeddings of dimension {embeddings.shape[1]}, that of embeddings, got "
            f"{ref_embeddings.shape[1]}; embed both with the same model."
        )
    if ref_embeddings.device != embeddings.device:
        raise ValueError(
            f"Expected ref_embeddings on {embeddings.device}, where embeddings are, got "
            f"{ref_embeddings.device}; move one of them with .to(device)."
        )
    if self_index is not None:
        self_index = _check_self_index(self_index, len(embeddings), len(ref_embeddings), embeddings.device)
    return Pairs(embeddings, labels, ref_embeddings, ref_labels, self_index)


def check_rows(embeddings: Tensor, labels: Tensor, prefix: str = "") -> Tensor:
    """Check that embeddings and labels belong together, and return the labels as int64.

    Args:
        embeddings: ``(rows, dim)`` float.
        labels: ``(rows,)`` integer, on the same device.
        prefix: prefix of the argument names in error messages, such as ``"ref_"``.

    Returns:
        ``(rows,)`` int64 labels; the same tensor when they are int64 already.

    Raises:
        ValueError: if the shapes, lengths or devices do not fit.
        TypeError: if embeddings are not floating point or labels are not integers.
    """
    if embeddings.ndim != 2:
        raise ValueError(
            f"Expected {prefix}embeddings of shape (rows, dim), got {tuple(embeddings.shape)}; "
            "pool and flatten to one vector per image first."
        )
    if not embeddings.is_floating_point():
        raise TypeError(
            f"Expected floating point {prefix}embeddings, got {embeddings.dtype}; check that labels and embeddings are "
            "not swapped."
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"Expected integer {prefix}labels, got {labels.dtype}; cast class ids with .long().")
    if labels.shape != embeddings.shape[:1]:
        raise ValueError(
            f"Expected {prefix}labels of shape ({len(embeddings)},), one for each row of {prefix}embeddings, "
            f"got {tuple(labels.shape)}; pass one class id for each image."
        )
    if labels.device != embeddings.device:
        raise ValueError(
            f"Expected {prefix}labels on {embeddings.device}, where {prefix}embeddings are, got "
            f"{labels.device}; move one of them with .to(device)."
        )
    return labels.long()


def _check_self_index(self_index: Tensor, num_anchors: int, num_refs: int, device: torch.device) -> Tensor:
    if self_index.is_floating_point() or self_index.is_complex() or self_index.dtype == torch.bool:
        raise TypeError(f"Expected integer self_index, got {self_index.dtype}; cast row numbers with .long().")
    if self_index.shape != (num_anchors,):
        raise ValueError(
            f"Expected self_index of shape ({num_anchors},), one row for each anchor, got {tuple(self_index.shape)}; "
            "pass the row of each anchor among ref_embeddings."
        )
    if self_index.device != device:
        raise ValueError(
            f"Expected self_index on {device}, where embeddings are, got {self_index.device}; move it with .to(device)."
        )
    # On other devices the host would wait for the values at every step.
    if device.type == "cpu" and (int(self_index.min()) < 0 or int(self_index.max()) >= num_refs):
        raise ValueError(
            f"Expected self_index in [0, {num_refs}), the rows of ref_embeddings, got values from "
            f"{int(self_index.min())} to {int(self_index.max())}; pass None when no anchor is "
            "among the references."
        )
    return self_index.long()
