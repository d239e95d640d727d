"""Positions of the labelled images in given rankings, by one pass over the rankings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import torch

from hf_vitret.evaluation.ranking.wanted_ranks import UNRESOLVED
from hf_vitret.evaluation.revisited.labelled_images import Integers, LabelledImages

Ranking: TypeAlias = "np.ndarray[Any, Any] | torch.Tensor"

# Number of entries compared at once: 1M int64 are 8 MiB.
_ENTRIES = 1 << 20


def num_ahead_in_ranking(ranking: Ranking, labelled: LabelledImages, *, query_axis: int = 0) -> Integers:
    """Count the images without a label ahead of each labelled image, in lists of gallery rows.

    An entry beyond the last labelled row (a distractor) costs only one comparison. A memory-mapped array is read once,
    from its start to its end.

    Args:
        ranking: `(num_queries, length)` integers, an array (also memory-mapped) or a tensor: gallery rows, best first.
            Rows beyond the gallery of the ground truth are distractors; -1 fills the end of a shorter list.
        labelled: The labelled images.
        query_axis: 0 for a ranking of shape `(num_queries, length)`; 1 for `(length, num_queries)`.

    Returns:
        `(num_labelled,)` int64; `UNRESOLVED` for an image that is not in its list.

    Raises:
        TypeError: The ranking is not an array or tensor of integers.
        ValueError: The ranking does not have the shape of `query_axis`, or a list has a labelled image twice.
    """
    array = _checked(ranking, labelled.num_queries, query_axis)
    are_labelled, found = labelled.are_labelled(), []
    for candidates in _candidates(array, query_axis, labelled):
        queries, _, rows = candidates
        is_labelled = are_labelled[queries, rows]
        found.append([each[is_labelled] for each in candidates])
    queries, positions, rows = (np.concatenate(parts) for parts in zip(*found, strict=True))
    entries = labelled.entries_of(queries, rows)
    again = np.flatnonzero(np.bincount(entries, minlength=1) > 1)
    if len(again):
        query, row = labelled.queries[again[0]], labelled.rows[again[0]]
        raise ValueError(
            f"ranking must hold a gallery row once in each list, got row {row} twice or more for query {query}. Keep "
            "its first entry only."
        )
    order = np.lexsort((positions, queries))
    queries, positions, entries = queries[order], positions[order], entries[order]
    first = np.searchsorted(queries, queries)  # the first entry of the same query
    ahead = np.full(len(labelled.queries), UNRESOLVED, dtype=np.int64)
    ahead[entries] = positions - (np.arange(len(queries)) - first)  # minus the labelled images ahead of it
    return ahead


def _checked(ranking: Ranking, num_queries: int, query_axis: int) -> np.ndarray[Any, Any]:
    if query_axis not in (0, 1):
        raise ValueError(
            f"query_axis must be 0 for (num_queries, length) or 1 for (length, num_queries), got {query_axis}. Pass "
            "the axis of the queries."
        )
    array: np.ndarray[Any, Any] = ranking.detach().cpu().numpy() if isinstance(ranking, torch.Tensor) else ranking
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
        received = array.dtype if isinstance(array, np.ndarray) else type(array).__name__
        raise TypeError(
            f"ranking must be an array or tensor of integers, gallery rows; got {received}. Convert it to int64."
        )
    if array.ndim != 2 or array.shape[query_axis] != num_queries:
        expected = f"({num_queries}, length)" if query_axis == 0 else f"(length, {num_queries})"
        raise ValueError(
            f"ranking must be {expected} with query_axis={query_axis}, got {array.shape}. Pass query_axis=1 for arrays "
            "of the authors' code, which are (length, num_queries)."
        )
    return array


def _candidates(
    array: np.ndarray[Any, Any], query_axis: int, labelled: LabelledImages
) -> Iterator[tuple[Integers, Integers, Integers]]:
    """Yield queries, positions and gallery rows of all entries that may be labelled, `(num_candidates,)` int64 each."""
    if array.flags.f_contiguous and not array.flags.c_contiguous:
        array, query_axis = array.T, 1 - query_axis  # read it in the order of its memory
    limit = int(labelled.rows.max()) + 1 if len(labelled.rows) else 0
    if array.dtype.kind == "i":  # as an unsigned number, the -1 that fills a list is larger than any row
        limit = min(limit, np.iinfo(array.dtype).max + 1)
        array = array.view(array.dtype.str.replace("i", "u"))
    step = max(1, _ENTRIES // max(1, array.shape[1]))
    for start in range(0, max(1, len(array)), step):
        part = array[start : start + step]
        hits = np.flatnonzero(part < limit)
        lead, trail = np.divmod(hits, part.shape[1] or 1)
        rows = part.reshape(-1)[hits].astype(np.int64)
        lead += start
        yield (lead, trail, rows) if query_axis == 0 else (trail, lead, rows)
