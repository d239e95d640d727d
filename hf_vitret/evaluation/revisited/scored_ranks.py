"""Ranks of the labelled images by embeddings, from counts of the scores above theirs, without sorting the gallery."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from hf_vitret.evaluation.ranking.exact_scores import ExactScores, row_norms
from hf_vitret.evaluation.ranking.tiles import check_tile_size
from hf_vitret.evaluation.ranking.wanted_ranks import TIE_TOLERANCE, UNRESOLVED
from hf_vitret.evaluation.revisited.labelled_images import Integers, LabelledImages
from hf_vitret.search.inner_products import check_embeddings, check_same_dim


@torch.no_grad()
def num_ahead_by_score(
    query_embeddings: torch.Tensor,
    gallery_embeddings: torch.Tensor,
    labelled: LabelledImages,
    *,
    distractors: Iterable[torch.Tensor] | None = None,
    tile_size: int | None = None,
) -> Integers:
    """Count for each positive the images without a label whose score is as high or higher.

    All scores are exact (`ExactScores`). For the few queries of these benchmarks, this takes seconds for a million
    images. The counts are therefore the same for every tile, chunk, number of threads and device. One tile of scores is
    in memory at a time.

    Args:
        query_embeddings: `(num_queries, dim)` float, the embeddings of the queries, in the order of the ground truth.
        gallery_embeddings: `(num_rows, dim)` float, the embeddings of the gallery, in the order of the ground truth.
            Any rows beyond those are distractors.
        labelled: The labelled images.
        distractors: Chunks of `(num_rows, dim)` float, embeddings of further images without a label; the iterable is
            read once.
        tile_size: Rows and columns of a tile of scores, a positive multiple of 8. `None` takes what suits the device.

    Returns:
        `(num_labelled,)` int64; `UNRESOLVED` for junk, which is never a positive.

    Raises:
        TypeError: Embeddings are not floats.
        ValueError: Shapes do not match each other or the ground truth, or an embedding is NaN or infinite.
    """
    check_embeddings(query_embeddings, "query_embeddings")
    check_embeddings(gallery_embeddings, "gallery_embeddings")
    check_same_dim(query_embeddings, gallery_embeddings)
    num_queries, num_gallery, num_rows = labelled.num_queries, labelled.num_gallery, len(gallery_embeddings)
    if len(query_embeddings) != num_queries:
        raise ValueError(
            f"query_embeddings must have a row for each of the {num_queries} queries of the ground truth, got "
            f"{len(query_embeddings)}. Embed them in the order of query_ids."
        )
    if num_rows < num_gallery:
        raise ValueError(
            f"gallery_embeddings must have a row for each of the {num_gallery} images of the ground truth, got "
            f"{num_rows}. Embed them in the order of gallery_ids."
        )
    num_columns = max(1, check_tile_size(tile_size, query_embeddings.device) ** 2 // num_queries)
    counts = _Counts(query_embeddings.float(), gallery_embeddings, labelled)
    counts.add(gallery_embeddings, 0, num_columns)
    for chunk in () if distractors is None else distractors:
        check_embeddings(chunk, "distractors")
        check_same_dim(query_embeddings, chunk)
        counts.add(chunk, num_rows, num_columns)  # any row beyond the labelled ones
    return counts.num_ahead()


class _Counts:
    """Counts of the scores of images without a label, between the scores of the positives, for all queries."""

    def __init__(self, queries: torch.Tensor, gallery: torch.Tensor, labelled: LabelledImages) -> None:
        device = queries.device
        self._queries, self._num_labelled = queries, len(labelled.queries)
        owners, rows = (torch.from_numpy(each).to(device) for each in (labelled.queries, labelled.rows))
        self._hidden_rows, order = rows.sort(stable=True)
        self._hidden_queries = owners[order]
        self._entries = torch.from_numpy(labelled.are_positive).to(device).nonzero().squeeze(1)
        self._owners = owners[self._entries]  # (num_to_find,)
        needed, item = torch.unique(rows[self._entries], return_inverse=True)
        items = gallery[needed.to(gallery.device)].to(device).float()
        limits = ExactScores(queries, items).of_pairs(self._owners, item)
        limits -= row_norms(items)[item] * (TIE_TOLERANCE * row_norms(queries)[self._owners])
        # The limits of each query form a row, ascending; infinity, which no score passes, fills the rest of the row.
        order = limits.argsort(stable=True)
        order = order[self._owners[order].argsort(stable=True)]
        num_limits = self._owners.bincount(minlength=len(queries))
        first = num_limits.cumsum(dim=0) - num_limits
        self._columns = torch.empty_like(order)
        self._columns[order] = torch.arange(len(order), device=device) - first[self._owners[order]]
        width = int(num_limits.max())
        self._limits = torch.full((len(queries), width), torch.inf, device=device)
        self._limits[self._owners, self._columns] = limits
        self._num_passing = torch.zeros(len(queries), width + 1, dtype=torch.int64, device=device)

    def add(self, rows: torch.Tensor, first_row: int, num_columns: int) -> None:
        """Count the scores of gallery rows.

        Args:
            rows: `(num_rows, dim)` float.
            first_row: Number of the first of them in the gallery.
            num_columns: Number of rows to score at once.
        """
        for start in range(0, len(rows), num_columns):
            items = rows[start : start + num_columns].to(self._queries.device).float()
            scores = ExactScores(self._queries, items).of_rows()  # (num_queries, columns)
            low = first_row + start
            bounds = torch.tensor([low, low + len(items)], device=scores.device)
            hidden = slice(*torch.searchsorted(self._hidden_rows, bounds).tolist())
            scores[self._hidden_queries[hidden], self._hidden_rows[hidden] - low] = -torch.inf
            num_passed = torch.searchsorted(self._limits, scores, right=True)
            self._num_passing.scatter_add_(1, num_passed, torch.ones_like(num_passed))

    def num_ahead(self) -> Integers:
        """Return the count of each labelled image, `(num_labelled,)` int64."""
        # The limit in column j is passed by the scores that pass more than j limits.
        at_or_above = self._num_passing.flip(1).cumsum(dim=1).flip(1)[:, 1:]
        ahead = torch.full((self._num_labelled,), UNRESOLVED)
        ahead[self._entries.cpu()] = at_or_above[self._owners, self._columns].cpu()
        return ahead.numpy()
