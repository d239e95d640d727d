"""Exact nearest neighbours by inner product, computed in tiles, with gallery rows of the query's id left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from hf_vitret.search.entry_positions import positions_in_rows
from hf_vitret.search.exact_codes import Identifiers, paired_ids
from hf_vitret.search.inner_products import check_embeddings, check_same_dim, inner_products

# Shape of a tile of scores. On a CPU a tile has 8 MiB, so that it is still in cache when it is searched after the
# product (1,024 x 1,000,000 x 128 on two cores of an EPYC: 1.4 s, and 1.8 s with 16,384 columns). On a GPU it has
# 64 MiB, which keep the GPU busy.
_QUERY_CHUNK = 1_024
_GALLERY_CHUNK = {"cpu": 2_048, "cuda": 16_384}
# Rows of a tile whose scores are all converted to int64 keys at once, because of ties: 64 x 16,384 are 8 MiB.
_TIED_ROWS = 64
# Scores in a group: the largest of each group is compared first. That pass takes a tenth of the time of the product.
_GROUP = 32
# If more than this share of a tile's groups may have new neighbours, the best of a row are found among all its scores.
_MANY = 0.2
# The largest index that fits a sort key, for "no neighbour".
_NO_INDEX = 0xFFFFFFFF
# A sort key below that of every score.
_NO_KEY = torch.iinfo(torch.int64).min


@torch.no_grad()
def nearest_neighbors(
    query_embeddings: torch.Tensor,
    gallery_embeddings: torch.Tensor,
    k: int,
    *,
    query_ids: Identifiers | None = None,
    gallery_ids: Identifiers | None = None,
    query_chunk_size: int = _QUERY_CHUNK,
    gallery_chunk_size: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the k gallery rows with the largest inner product for every query, best first.

    The search is exact and runs on the device of `query_embeddings` (CPU or CUDA). It keeps one tile of scores and the
    best k so far in memory, never a (num_queries, num_gallery) matrix. With unit-norm rows, as `ViTRetModel` returns
    them, the score is the cosine similarity; rows of any other norm are not normalised (maximum inner product search).

    Args:
        query_embeddings: `(num_queries, dim)` float; bf16 and fp16 are converted to float32.
        gallery_embeddings: `(num_gallery, dim)` float, on any device.
        k: Number of neighbours of each query, at least 1. It may exceed the size of the gallery.
        query_ids: `(num_queries,)` integers or a sequence of hashable values. Gallery rows with the id of a query are
            left out of its list (leave-one-out); exact duplicates with other ids are not. None: nothing is left out.
        gallery_ids: `(num_gallery,)`, of the same type as `query_ids`; given if `query_ids` is.
        query_chunk_size: Number of rows in a tile of scores, at least 1.
        gallery_chunk_size: Number of columns in a tile of scores, at least 1. None: 2,048 on a CPU, 16,384 elsewhere.

    Returns:
        scores: `(num_queries, k)` float32, descending. Equal scores are ordered by gallery row, the lowest first.
        indices: `(num_queries, k)` int64 gallery rows. If a query has fewer than k candidates, its list is padded with
            score -inf and index -1.

    Raises:
        ValueError: An input is not a finite `(num_rows, dim)` matrix, the dimensions differ, k or a chunk size is below
            1, only one of the two has ids, or the number of ids is not that of the rows.
        TypeError: Embeddings are not floats, ids are floats, or the ids of queries and gallery have different types.

    Example:
        >>> gallery = torch.tensor([[1.0, 0.0], [0.8, 0.6], [1.0, 0.0]])
        >>> nearest_neighbors(gallery[:1], gallery, k=3)
        (tensor([[1.0000, 1.0000, 0.8000]]), tensor([[0, 2, 1]]))
        >>> nearest_neighbors(gallery[:1], gallery, k=3, query_ids=[10], gallery_ids=[10, 11, 12])
        (tensor([[1.0000, 0.8000,   -inf]]), tensor([[ 2,  1, -1]]))
    """
    for name, size in (
        ("k", k),
        ("query_chunk_size", query_chunk_size),
        ("gallery_chunk_size", gallery_chunk_size),
    ):
        if size is not None and size < 1:
            raise ValueError(f"{name} must be at least 1, got {size}. Pass a larger number or leave it out.")
    check_embeddings(query_embeddings, "query_embeddings")
    check_embeddings(gallery_embeddings, "gallery_embeddings")
    check_same_dim(query_embeddings, gallery_embeddings)
    device = query_embeddings.device
    if gallery_chunk_size is None:
        gallery_chunk_size = _GALLERY_CHUNK.get(device.type, _GALLERY_CHUNK["cuda"])
    num_queries, num_gallery = len(query_embeddings), len(gallery_embeddings)
    codes = paired_ids(query_ids, gallery_ids, num_queries, num_gallery, device)

    scores = torch.full((num_queries, k), -torch.inf, device=device)
    indices = torch.full((num_queries, k), -1, dtype=torch.int64, device=device)
    num_columns = min(gallery_chunk_size, num_gallery)
    num_scores = min(query_chunk_size, num_queries) * (num_columns + -num_columns % _GROUP)
    # All tiles use one buffer: new memory from the system would take as much time as the product.
    buffer = torch.empty(num_scores, device=device)
    for rows in _chunks(num_queries, query_chunk_size):
        queries = query_embeddings[rows].float()  # (rows, dim)
        best = torch.empty(len(queries), 0, dtype=torch.int64, device=device)  # (rows, <= k) keys, descending
        floor: torch.Tensor | None = None  # (rows,) scores of the last of the best, once there are k
        found: list[torch.Tensor] = []  # (rows, any) keys each, candidates that are not yet merged into the best
        for columns in _chunks(num_gallery, gallery_chunk_size):
            gallery = gallery_embeddings[columns].to(device).float()  # (columns, dim)
            width = len(gallery) + -len(gallery) % _GROUP
            tile = buffer[: len(queries) * width].view(len(queries), width)
            tile[:, len(gallery) :] = -torch.inf
            inner_products(queries, gallery, out=tile[:, : len(gallery)])
            if codes is not None:
                _leave_out(tile, codes[0][rows], codes[1][columns])
            keys = None if floor is None else _keys_above(tile, floor, columns.start)
            if keys is None:
                keys = _best_keys(tile[:, : len(gallery)], k, columns.start)
            found.append(keys)
            # Merged only now and then: a sort takes as long as a tile.
            if best.shape[1] < k or sum(keys.shape[1] for keys in found) >= k:
                best, found = _merged(best, found, k), []
                floor = _unpack(best[:, k - 1])[0] if best.shape[1] == k else None
        best = _merged(best, found, k)
        found_scores, found_indices = _unpack(best)
        scores[rows, : best.shape[1]] = found_scores
        indices[rows, : best.shape[1]] = found_indices.masked_fill(found_scores == -torch.inf, -1)
    return scores, indices


def merge_neighbors(found: Sequence[tuple[torch.Tensor, torch.Tensor]], k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Merge the neighbours of the same queries in each part of a gallery into the neighbours in the whole gallery.

    Args:
        found: `scores` and `indices` of each part, `(num_queries, any)`, as `nearest_neighbors` returns them for at
            least k neighbours. The indices are rows of the whole gallery, -1 for no neighbour.
        k: Number of neighbours of each query, at least 1.

    Returns:
        scores: `(num_queries, k)` float32, descending, equal scores by gallery row, the lowest first.
        indices: `(num_queries, k)` int64 gallery rows, -1 where the score is -inf.

    Raises:
        ValueError: k is below 1, or there are no parts.

    Example:
        >>> parts = [(torch.tensor([[0.9, 0.5]]), torch.tensor([[1, 0]])), (torch.tensor([[0.7]]), torch.tensor([[2]]))]
        >>> merge_neighbors(parts, k=2)
        (tensor([[0.9000, 0.7000]]), tensor([[1, 2]]))
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}. Pass the number of neighbours to keep.")
    if not found:
        raise ValueError(
            "found must have the neighbours in at least one part of the gallery, got none. Search a part first."
        )
    keys = [_pack(scores, indices.masked_fill(indices < 0, _NO_INDEX)) for scores, indices in found]
    scores, indices = _unpack(torch.cat(keys, dim=1).sort(dim=1, descending=True).values[:, :k])
    indices = indices.masked_fill(scores == -torch.inf, -1)
    padding = (0, k - scores.shape[1])
    pad = torch.nn.functional.pad
    return pad(scores, padding, value=-torch.inf), pad(indices, padding, value=-1)


def _merged(best: torch.Tensor, found: list[torch.Tensor], k: int) -> torch.Tensor:
    """Return the best k of the best so far and of the new candidates, `(rows, <= k)` keys, descending."""
    if not any(keys.shape[1] for keys in found):
        return best
    return torch.cat([best, *found], dim=1).sort(dim=1, descending=True).values[:, :k]


def _leave_out(tile: torch.Tensor, query_codes: torch.Tensor, gallery_codes: torch.Tensor) -> None:
    """Set the scores of pairs with equal ids to -inf, in as many rounds as an id is repeated in the gallery."""
    ids, columns = gallery_codes.sort(stable=True)
    position = torch.searchsorted(ids, query_codes)
    stop = torch.searchsorted(ids, query_codes, right=True)
    while len(rows := (position < stop).nonzero().squeeze(1)):
        tile[rows, columns[position[rows]]] = -torch.inf
        position[rows] += 1


def _keys_above(tile: torch.Tensor, floor: torch.Tensor, first_index: int) -> torch.Tensor | None:
    """Return sort keys of the items that score at least as high as the last of the best so far.

    Args:
        tile: `(rows, columns)` float32; the number of columns is a multiple of `_GROUP`.
        floor: `(rows,)` float32, the score of the last of the best of each row.
        first_index: Gallery row of the first column.

    Returns:
        `(rows, items)` int64 keys, as many as the row with the most items has, padded with `_NO_KEY`; `None` if there
        are too many items for this to be faster than `_best_keys`.
    """
    num_rows, num_groups = len(tile), tile.shape[1] // _GROUP
    # The columns of a group are far apart in memory, so that the maxima of neighbouring groups are computed together.
    groups = tile.view(num_rows, _GROUP, num_groups)
    is_any = groups.amax(dim=1) >= floor.unsqueeze(1)  # (rows, num_groups)
    row, group = is_any.nonzero().unbind(dim=1)  # (num_hits,) each
    if len(row) > _MANY * is_any.numel():
        return None
    scores = groups[row, :, group]  # (num_hits, _GROUP)
    hit, member = (scores >= floor[row, None]).nonzero().unbind(dim=1)  # (num_items,) each
    row, found = row[hit], row[hit].bincount(minlength=num_rows)
    keys = torch.full((num_rows, int(found.max())), _NO_KEY, device=tile.device)
    items = member * num_groups + group[hit] + first_index
    keys[row, positions_in_rows(row, found)] = _pack(scores[hit, member], items)
    return keys


def _best_keys(tile: torch.Tensor, k: int, first_index: int) -> torch.Tensor:
    """Return sort keys of the best items of each row of a tile, `(rows, min(k, columns))`, of ties the lower index."""
    num_columns = tile.shape[1]
    if k >= num_columns:
        return _pack(tile, torch.arange(first_index, first_index + num_columns, device=tile.device))
    scores, columns = tile.topk(k + 1, dim=1)
    keys = _pack(scores[:, :k], columns[:, :k] + first_index)
    # topk keeps any of the items that are tied at rank k: where the next one is tied too, choose by key.
    crowded = (scores[:, k - 1] == scores[:, k]).nonzero().squeeze(1)
    for rows in torch.split(crowded, _TIED_ROWS):
        every = _pack(tile[rows], torch.arange(first_index, first_index + num_columns, device=tile.device))
        keys[rows] = every.topk(k, dim=1).values
    return keys


def _pack(scores: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Return int64 keys that sort like (score, -index): the bits of the score above those of the inverted index."""
    bits = (scores + 0.0).view(torch.int32)  # adding 0.0 turns -0.0 into 0.0
    monotone = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(torch.int64)
    return (monotone << 32) | (_NO_INDEX - indices)


def _unpack(keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scores and the indices of sort keys."""
    monotone = (keys >> 32).to(torch.int32)
    scores = torch.where(monotone < 0, monotone ^ 0x7FFFFFFF, monotone).view(torch.float32)
    return scores, _NO_INDEX - (keys & _NO_INDEX)


def _chunks(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
