"""Inner products in full float32 precision, whatever precision training runs in, and checks of embeddings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def inner_products(queries: torch.Tensor, gallery: torch.Tensor, *, out: torch.Tensor | None = None) -> torch.Tensor:
    """Compute the inner products of queries and gallery rows in full float32 precision.

    Autocast, TF32 and `torch.set_float32_matmul_precision` would round the rows to 8 or 11 bits, which changes the
    order of neighbours. They are off during this product and restored after it.

    Args:
        queries: `(num_queries, dim)` float32.
        gallery: `(num_gallery, dim)` float32.
        out: `(num_queries, num_gallery)` float32 to write to. None: a new tensor.

    Returns:
        `(num_queries, num_gallery)` float32.

    Example:
        >>> inner_products(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.6, 0.8], [0.0, 1.0]]))
        tensor([[0.6000, 0.0000]])
    """
    with torch.autocast(queries.device.type, enabled=False), _full_precision():
        return torch.mm(queries, gallery.T, out=out)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Switch off reduced-precision float32 products on CPU and CUDA, and restore the settings at the end."""
    if not hasattr(torch.backends, "fp32_precision"):  # torch before 2.9
        precision = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(precision)
        return
    # get_float32_matmul_precision is not usable here: it raises once the precision has been set through fp32_precision,
    # as transformers does for `TrainingArguments(tf32=True)`.
    backends = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    reduced = [(each, each.fp32_precision) for each in backends]
    reduced = [(each, precision) for each, precision in reduced if precision not in ("none", "ieee")]
    for backend, _ in reduced:
        backend.fp32_precision = "ieee"
    try:
        yield
    finally:
        for backend, precision in reduced:
            # "none" follows the setting for all backends. Restore it where the two were equal.
            backend.fp32_precision = "none" if precision == torch.backends.fp32_precision else precision


def check_embeddings(embeddings: torch.Tensor, name: str) -> None:
    """Require a finite floating-point matrix with at least one row.

    Args:
        embeddings: `(num_rows, dim)`.
        name: Name of the argument for error messages.

    Raises:
        TypeError: It is not a floating-point tensor.
        ValueError: It is not two-dimensional, is empty, or has NaN or infinity in a row; the message names the rows.
    """
    if not isinstance(embeddings, torch.Tensor) or not embeddings.is_floating_point():
        received = embeddings.dtype if isinstance(embeddings, torch.Tensor) else type(embeddings).__name__
        raise TypeError(f"{name} must be a floating-point tensor, got {received}. Convert with torch.as_tensor(...).")
    if embeddings.ndim != 2 or 0 in embeddings.shape:
        raise ValueError(f"{name} must be (num_rows, dim) with at least one row, got shape {tuple(embeddings.shape)}.")
    for start in range(0, len(embeddings), 8_192):  # bounds the temporaries
        rows = embeddings[start : start + 8_192].float()
        if not torch.stack(rows.aminmax()).isfinite().all():  # with a NaN, both are NaN; ten times as fast
            bad = (~rows.isfinite().all(dim=1)).nonzero().squeeze(1) + start
            named = ", ".join(str(row) for row in bad[:10].tolist()) + (", ..." if len(bad) > 10 else "")
            raise ValueError(
                f"{name} must be finite in float32, got NaN or infinity in row {named}. "
                "Look for a damaged image or an overflow in the model."
            )


def check_same_dim(query_embeddings: torch.Tensor, gallery_embeddings: torch.Tensor) -> None:
    """Require queries and gallery to have the same embedding dimension.

    Args:
        query_embeddings: `(num_queries, dim)`.
        gallery_embeddings: `(num_gallery, dim)`.

    Raises:
        ValueError: The dimensions differ.
    """
    if query_embeddings.shape[1] != gallery_embeddings.shape[1]:
        raise ValueError(
            f"queries and gallery must have one embedding dimension, got {query_embeddings.shape[1]} and "
            f"{gallery_embeddings.shape[1]}. Embed both with the same model."
        )
