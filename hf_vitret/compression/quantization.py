"""Embeddings in fewer bytes: int8 codes, and binary codes of one bit for each dimension."""

from __future__ import annotations

import torch

from ..search.inner_products import check_embeddings

# Bits of a stored vector for each dimension, by precision. Rescored binary codes store nothing but the codes.
PRECISIONS = {"float32": 32, "float16": 16, "int8": 8, "binary": 1, "binary_rescored": 1}

INT8_MAX = 127

# Rows converted at once: 16,384 of 384 dimensions are 24 MiB of float32.
_ROWS = 16_384


def bytes_per_vector(dim: int, precision: str) -> int:
    """Return the number of bytes of one stored vector; bits are padded to a whole byte.

    Args:
        dim: Number of dimensions.
        precision: A key of `PRECISIONS`.

    Returns:
        The number of bytes.

    Raises:
        ValueError: There is no such precision.

    Example:
        >>> [bytes_per_vector(384, precision) for precision in PRECISIONS]
        [1536, 768, 384, 48, 48]
    """
    if precision not in PRECISIONS:
        raise ValueError(f"expected a precision of {', '.join(PRECISIONS)}; got {precision!r}: choose one of them")
    return (dim * PRECISIONS[precision] + 7) // 8


@torch.no_grad()
def int8_scale(embeddings: torch.Tensor) -> float:
    """Calibrate the scale of `to_int8` on embeddings of the train split: their largest entry becomes 127.

    With one scale for all dimensions the score is an inner product of integers, which any int8 index computes. A scale
    for each dimension is no better: for PCA, whitened PCA and the first dimensions of a ViT-S without fine-tuning
    (4,188 queries, 16 to 383 dimensions), R@1 was within 0.4 points of float32 and MAP@R within 0.2 with either. If the
    largest hundredth of all entries is clipped, R@1 changes by -3.6 to 5.6 points: the vectors are no longer the same.

    Args:
        embeddings: `(num_rows, dim)` float, unit norm.

    Returns:
        The difference of two successive integers, as a float.

    Raises:
        TypeError: The embeddings are not floats.
        ValueError: An embedding is not finite, or all entries are 0.

    Example:
        >>> round(int8_scale(torch.tensor([[0.6, -0.8]])) * 127, 4)
        0.8
    """
    check_embeddings(embeddings, "embeddings")
    largest = max(float(embeddings.max()), -float(embeddings.min()))
    if largest == 0:
        raise ValueError(
            "expected embeddings with an entry other than 0 to calibrate on; all are 0: look for an error in the model"
        )
    return largest / INT8_MAX


@torch.no_grad()
def to_int8(embeddings: torch.Tensor, scale: float) -> torch.Tensor:
    """Round embeddings to 8-bit integers; entries larger than those of the calibration are clipped.

    The score of two vectors is the inner product of their integers; times `scale ** 2` it is close to the cosine.
    Convert queries and gallery with the same scale.

    Args:
        embeddings: `(num_rows, dim)` float.
        scale: The scale from `int8_scale`, above 0.

    Returns:
        `(num_rows, dim)` int8 from -127 to 127.

    Raises:
        TypeError: The embeddings are not floats.
        ValueError: An embedding is not finite, or the scale is not above 0.

    Example:
        >>> to_int8(torch.tensor([[0.6, -0.8, 1.0]]), scale=0.8 / 127)
        tensor([[  95, -127,  127]], dtype=torch.int8)
    """
    check_embeddings(embeddings, "embeddings")
    if not scale > 0:
        raise ValueError(f"scale must be above 0, as int8_scale gives it; got {scale}")
    codes = torch.empty(embeddings.shape, dtype=torch.int8, device=embeddings.device)
    for rows, out in zip(torch.split(embeddings, _ROWS), torch.split(codes, _ROWS), strict=True):
        out.copy_((rows.float() / scale).round().clamp(-INT8_MAX, INT8_MAX))
    return codes


@torch.no_grad()
def pack_signs(embeddings: torch.Tensor) -> torch.Tensor:
    """Pack the signs of embeddings into binary codes, one bit for each dimension: 1 where the entry is above 0.

    The first dimension is the highest bit of the first byte, as in `numpy.packbits`; the last byte is padded with 0.

    Args:
        embeddings: `(num_rows, dim)` float.

    Returns:
        `(num_rows, ceil(dim / 8))` uint8.

    Raises:
        TypeError: The embeddings are not floats.
        ValueError: An embedding is not finite.

    Example:
        >>> pack_signs(torch.tensor([[0.5, -0.5, 0.1, 0.0, 0.2, 0.3, -0.4, -0.1, 0.4]]))
        tensor([[172, 128]], dtype=torch.uint8)
    """
    check_embeddings(embeddings, "embeddings")
    num_rows, dim = embeddings.shape
    codes = torch.empty(num_rows, (dim + 7) // 8, dtype=torch.uint8, device=embeddings.device)
    for rows, out in zip(torch.split(embeddings, _ROWS), torch.split(codes, _ROWS), strict=True):
        bits = torch.nn.functional.pad((rows > 0).to(torch.uint8), (0, -dim % 8))
        out.copy_((bits.view(len(rows), -1, 8) * _bit_values(rows.device)).sum(dim=2))
    return codes


@torch.no_grad()
def unpack_signs(codes: torch.Tensor, dim: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Unpack binary codes to vectors of 1 and -1, whose inner product is exactly `dim - 2 * hamming_distance`.

    Args:
        codes: `(num_rows, ceil(dim / 8))` uint8 from `pack_signs`.
        dim: Number of dimensions of the embeddings.
        dtype: Data type of the result.

    Returns:
        `(num_rows, dim)` of `dtype`, 1 or -1.

    Raises:
        ValueError: The codes are not uint8, or not of the number of bytes for `dim`.

    Example:
        >>> unpack_signs(torch.tensor([[0b10100000]], dtype=torch.uint8), dim=4)
        tensor([[ 1., -1.,  1., -1.]])
    """
    num_bytes = (dim + 7) // 8
    if codes.ndim != 2 or codes.dtype != torch.uint8 or codes.shape[1] != num_bytes:
        raise ValueError(
            f"expected uint8 codes of {num_bytes} bytes for {dim} dimensions, from pack_signs; got {codes.dtype} of "
            f"shape {tuple(codes.shape)}: pass the dim of the packed embeddings"
        )
    # A table of the signs of each byte is four times as fast as shifting bits.
    values = torch.arange(256, dtype=torch.uint8, device=codes.device).unsqueeze(1)
    signs = ((values & _bit_values(codes.device)) != 0).to(dtype) * 2 - 1  # (256, 8)
    return signs.index_select(0, codes.flatten().int()).view(len(codes), 8 * num_bytes)[:, :dim]


def _bit_values(device: torch.device) -> torch.Tensor:
    """Return the values of the bits of a byte, the highest first, `(8,)` uint8."""
    return torch.tensor([128, 64, 32, 16, 8, 4, 2, 1], dtype=torch.uint8, device=device)
