"""Exact nearest neighbours by inner product, in chunks, with the query itself left out by id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from hf_vitret.search.entry_positions import positions_in_rows
from hf_vitret.search.exact_codes import Identifiers, paired_ids
from hf_vitret.search.inner_products import check_embeddings, check_same_dim, inner_products

# Scores held at once: on a CPU 8 MiB, which stay in cache for the look after the product (1,024 x 1,000,000 x 128, two
# cores of an EPYC: 1.4 s, and 1.8 with 16,384 columns); on a GPU 64 MiB, which keep it busy.
_QUERY_CHUNK = 1_024
_GALLERY_CHUNK = {"cpu": 2_048, "cuda": 16_384}
# Rows of a tile turned into int64 keys at once because of ties: 64 x 16,384 are 8 MiB.
_TIED_ROWS = 64
# Scores of a row that are first looked at by their largest alone: a pass over them takes a tenth of their product.
_GROUP = 32
# From this share of a tile's groups on, the best of each row are found among all of its scores.
_MANY = 0.2
# The largest index that a sort key holds.
_NO_INDEX = 0xFFFFFFFF
# Below the key of every score.
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

    The search is exact and runs where `query_embeddings` are (CPU or CUDA). It holds one tile of scores at a
    time and the best k so far, never a (num_queries, num_gallery) matrix. With unit-norm rows, as
    `ViTRetModel` returns them, the score is the cosine similarity; rows of any other norm are taken as they
    are (maximum inner product search).

    Args:
        query_embeddings: `(num_queries, dim)` float; bf16 and fp16 are searched in float32.
        gallery_embeddings: `(num_gallery, dim)` float.
        k: How many neighbours, at least 1. It may exceed the gallery.
        query_ids: `(num_queries,)` int64, or a sequence of hashables. A gallery row that carries the id of
            the query is left out of its list (leave-one-out); exact duplicates under other ids stay.
        gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`. Both or neither.
        query_chunk_size: Rows of a tile of scores.
        gallery_chunk_size: Columns of a tile of scores. None: what suits the device.

    Returns:
        scores: `(num_queries, k)` float32, descending. Equal scores are ordered by the lower gallery row.
        indices: `(num_queries, k)` int64 rows of the gallery. Where a query has fewer than k candidates the
            rest of its row is padded with score -inf and index -1.

    Raises:
        ValueError: An input is not a finite `(num_rows, dim)` matrix, the dims differ, k or a chunk size is
            below 1, or ids are missing on one side or do not match the rows in number.
        TypeError: Embeddings are not floats, or ids are.

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
            raise ValueError(f"{name} must be at least 1, got {size}.")
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
    # One tile for all: memory fresh from the system would cost as much as the product.
    buffer = torch.empty(num_scores, device=device)
    for rows in _chunks(num_queries, query_chunk_size):
        queries = query_embeddings[rows].float()  # (rows, dim)
        best = torch.empty(len(queries), 0, dtype=torch.int64, device=device)  # (rows, <= k) keys, descending
        floor: torch.Tensor | None = None  # (rows,) scores of the last of the best, once there are k
        found: list[torch.Tensor] = []  # (rows, any) keys each, of which some may be among the best
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
            if best.shape[1] < k or sum(keys.shape[1] for keys in found) >= k:  # sorted together: a sort costs a tile
                best, found = _merged(best, found, k), []
                floor = _unpack(best[:, k - 1])[0] if best.shape[1] == k else None
        best = _merged(best, found, k)
        found_scores, found_indices = _unpack(best)
        scores[rows, : best.shape[1]] = found_scores
        indices[rows, : best.shape[1]] = found_indices.masked_fill(found_scores == -torch.inf, -1)
    return scores, indices


def merge_neighbors(found: Sequence[tuple[torch.Tensor, torch.Tensor]], k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Merge the neighbours of the same queries in the parts of a gallery into those in all of it.

    Args:
        found: For each part `scores` and `indices`, `(num_queries, any)`, as `nearest_neighbors` returns them with at
            least k neighbours; the indices are rows of the whole gallery, -1 where there are no more.
        k: How many neighbours, at least 1.

    Returns:
        scores: `(num_queries, k)` float32, descending, equal ones by the lower gallery row.
        indices: `(num_queries, k)` int64, padded with -1 where the scores are -inf.

    Raises:
        ValueError: k is below 1, or there are no parts.

    Example:
        >>> parts = [(torch.tensor([[0.9, 0.5]]), torch.tensor([[1, 0]])), (torch.tensor([[0.7]]), torch.tensor([[2]]))]
        >>> merge_neighbors(parts, k=2)
        (tensor([[0.9000, 0.7000]]), tensor([[1, 2]]))
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}.")
    if not found:
        raise ValueError("found must hold the neighbours in at least one part of the gallery, got none.")
    keys = [_pack(scores, indices.masked_fill(indices < 0, _NO_INDEX)) for scores, indices in found]
    scores, indices = _unpack(torch.cat(keys, dim=1).sort(dim=1, descending=True).values[:, :k])
    indices = indices.masked_fill(scores == -torch.inf, -1)
    padding = (0, k - scores.shape[1])
    pad = torch.nn.functional.pad
    return pad(scores, padding, value=-torch.inf), pad(indices, padding, value=-1)


def _merged(best: torch.Tensor, found: list[torch.Tensor], k: int) -> torch.Tensor:
    """Return the best k of the best so far and of what was found since, `(rows, <= k)` keys, descending."""
    if not any(keys.shape[1] for keys in found):
        return best
    return torch.cat([best, *found], dim=1).sort(dim=1, descending=True).values[:, :k]


def _leave_out(tile: torch.Tensor, query_codes: torch.Tensor, gallery_codes: torch.Tensor) -> None:
    """Set the scores of pairs with equal ids to -inf, in as many rounds as an id repeats in the gallery."""
    ids, columns = gallery_codes.sort(stable=True)
    place = torch.searchsorted(ids, query_codes)
    stop = torch.searchsorted(ids, query_codes, right=True)
    while len(rows := (place < stop).nonzero().squeeze(1)):
        tile[rows, columns[place[rows]]] = -torch.inf
        place[rows] += 1


def _keys_above(tile: torch.Tensor, floor: torch.Tensor, first_index: int) -> torch.Tensor | None:
    """Return sort keys of the items that score at least as high as the last of the best so far.

    Args:
        tile: `(rows, columns)` float32, the columns a multiple of `_GROUP`.
        floor: `(rows,)` float32.
        first_index: Gallery row of the first column.

    Returns:
        `(rows, most of a row)` int64, filled with keys below all others; `None` where they are many.
    """
    num_rows, num_groups = len(tile), tile.shape[1] // _GROUP
    # A group is columns far apart: the largest of each of its neighbours are then found side by side.
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
    """Return `(rows, min(k, columns))` sort keys of the best items of a tile, ties to the lower index."""
    num_columns = tile.shape[1]
    if k >= num_columns:
        return _pack(tile, torch.arange(first_index, first_index + num_columns, device=tile.device))
    scores, columns = tile.topk(k + 1, dim=1)
    keys = _pack(scores[:, :k], columns[:, :k] + first_index)
    # topk keeps any of the items tied for its last place: where one more is tied than fits, choose by key.
    crowded = (scores[:, k - 1] == scores[:, k]).nonzero().squeeze(1)
    for rows in torch.split(crowded, _TIED_ROWS):
        every = _pack(tile[rows], torch.arange(first_index, first_index + num_columns, device=tile.device))
        keys[rows] = every.topk(k, dim=1).values
    return keys


def _pack(scores: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    """Return int64 keys that sort like (score, -index): the score's bits above the inverted index."""
    bits = (scores + 0.0).view(torch.int32)  # adding 0.0 turns -0.0 into 0.0
    monotone = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(torch.int64)
    return (monotone << 32) | (_NO_INDEX - indices)


def _unpack(keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Invert `_pack`."""
    monotone = (keys >> 32).to(torch.int32)
    scores = torch.where(monotone < 0, monotone ^ 0x7FFFFFFF, monotone).view(torch.float32)
    return scores, _NO_INDEX - (keys & _NO_INDEX)


def _chunks(length: int, size: int) -> Iterator[slice]:
    for start in range(0, length, size):
        yield slice(start, min(start + size, length))
