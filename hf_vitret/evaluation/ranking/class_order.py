"""`ClassOrder`: queries and gallery sorted by class, so that the positives of a query are one range of gallery rows."""

from __future__ import annotations

import torch

from hf_vitret.evaluation.ranking.exact_scores import ExactScores, error_bound, row_norms

# A class of at least this size is scored with its positives in a product of its own. For smaller classes, a Python step
# for each class costs more than one product of several classes with all their positives.
_LARGE_CLASS = 64
# Number of scores of several classes with all their positives that are computed at once; most of them are not used. For
# 40,000 queries in classes of five, R@k takes 5.49, 5.13 and 4.54 s with 32,768, and 6.97, 5.57 and 4.91 s with 2M.
_MAX_RANGE_SCORES = 32_768


class ClassOrder:
    """A query set and a gallery, sorted by the size of the class and then by class.

    In this order a tile of scores has positives only near the diagonal, and the classes of a block of queries have
    about the same size. The embeddings are copied in this order, in float32.

    Args:
        query_embeddings: `(num_queries, dim)` float.
        query_labels: `(num_queries,)` int64.
        gallery_embeddings: `(num_gallery, dim)` float.
        gallery_labels: `(num_gallery,)` int64.
        ids: `(num_queries,)` and `(num_gallery,)` int64. A gallery row with the id of the query is left out of its
            list. `None` leaves no row out.
        class_sizes: `(num_classes,)` int64, the sizes to sort the classes by, if the gallery is a part of a larger one:
            the order of the queries is then the same for every part. Labels must then be class numbers from 0. `None`
            takes the sizes of the classes in this gallery.
        is_own_gallery: Whether the queries are the gallery, with the same labels, and `ids` are their rows
            (leave-one-out). Their embeddings are then stored once.

    Attributes:
        query_order: `(num_queries,)` int64, the row of each sorted query in `query_embeddings`.
        queries: `(num_queries, dim)` float32; no copy if the queries were in this order.
        gallery: `(num_gallery + padding, dim)` float32, padded with zero rows to a multiple of 8.
        starts: `(num_queries,)` int64, the first gallery row of the class of the query.
        ends: `(num_queries,)` int64, one past its last row; equal to `starts` if the gallery has none.
        margins: `(num_queries,)` float32, the largest possible error of a float32 product of the query with any gallery
            row.
    """

    @torch.no_grad()
    def __init__(
        self,
        query_embeddings: torch.Tensor,
        query_labels: torch.Tensor,
        gallery_embeddings: torch.Tensor,
        gallery_labels: torch.Tensor,
        ids: tuple[torch.Tensor, torch.Tensor] | None,
        class_sizes: torch.Tensor | None = None,
        *,
        is_own_gallery: bool = False,
    ) -> None:
        self.num_queries, self.num_gallery = len(query_labels), len(gallery_labels)
        classes = torch.cat([query_labels, gallery_labels])
        if class_sizes is None:
            classes = torch.unique(classes, return_inverse=True)[1]
            num_classes = int(classes.max()) + 1
        else:
            num_classes = len(class_sizes)
        sizes = classes[self.num_queries :].bincount(minlength=num_classes)
        by_size = (sizes if class_sizes is None else class_sizes).argsort(stable=True)
        sizes, position = sizes[by_size], by_size.argsort()  # position: (num_classes,), of a class in the order
        self._query_classes, self.query_order = position[classes[: self.num_queries]].sort(stable=True)
        self._gallery_classes, gallery_order = position[classes[self.num_queries :]].sort(stable=True)
        self.ends = sizes.cumsum(dim=0)[self._query_classes]
        self.starts = self.ends - sizes[self._query_classes]
        self._ranges: list[list[int]] = torch.stack([self.starts, self.ends, self._query_classes]).tolist()

        padding = -self.num_gallery % 8
        self.gallery = query_embeddings.new_zeros(
            (self.num_gallery + padding, query_embeddings.shape[1]), dtype=torch.float32
        )
        for start in range(0, self.num_gallery, 8_192):  # bounds the size of the temporary copy
            rows = gallery_order[start : start + 8_192].to(gallery_embeddings.device)
            self.gallery[start : start + len(rows)] = gallery_embeddings[rows]
        if is_own_gallery:
            self.queries = self.gallery[: self.num_queries]
        else:
            is_sorted = bool((self.query_order.diff() == 1).all())
            self.queries = (query_embeddings if is_sorted else query_embeddings[self.query_order]).float()
        self._gallery_norms = row_norms(self.gallery)
        self._query_norms = self._gallery_norms[: self.num_queries] if is_own_gallery else row_norms(self.queries)
        self.margins = self._query_norms * (self._gallery_norms.max() * error_bound(self.queries.shape[1]))
        self._ids = None if ids is None else (ids[0][self.query_order], ids[1][gallery_order])
        self._ids_cross_classes = not is_own_gallery and self._do_ids_cross_classes()

    def _do_ids_cross_classes(self) -> bool:
        """Return whether a query shares its id with a gallery row of another class, outside its range of positives."""
        if self._ids is None:
            return False
        ids = torch.unique(torch.cat(self._ids), return_inverse=True)[1]
        classes = torch.cat([self._query_classes, self._gallery_classes])
        both = torch.unique(ids * (int(classes.max()) + 1) + classes, return_inverse=True)[1]
        return _num_matches(ids, self.num_queries) != _num_matches(both, self.num_queries)

    def width(self, start: int, stop: int) -> int:
        """Return the size of the largest class among the sorted queries `start:stop`, at least 1."""
        return max(1, int((self.ends[start:stop] - self.starts[start:stop]).max()))

    def is_all_positive(self, start: int, stop: int, first: int, last: int) -> bool:
        """Return whether the queries `start:stop` have one class, and all gallery rows `first:last` have it too."""
        starts, ends, classes = self._ranges
        return classes[start] == classes[stop - 1] and starts[start] <= first and last <= ends[start]

    def positive_scores(self, start: int, stop: int, tolerance: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Score the queries `start:stop` with their own positives.

        Args:
            start: First query.
            stop: One past the last query.
            tolerance: Amount subtracted from each score, as a multiple of the norms of both rows.

        Returns:
            scores: `(block, width)` float32, exact before the subtraction. -inf where a query has no such positive,
                because its class is smaller or the gallery row has its id.
            num_positives: `(block,)` int64.
        """
        starts, ends, classes = self._ranges
        width = self.width(start, stop)
        scores = torch.full((stop - start, width), -torch.inf, device=self.starts.device)
        first = start
        while first < stop:
            last = stop
            # Large classes are scored one at a time, because their scores are one whole product. Small classes are
            # scored together, and the scores of the positives are picked out.
            while classes[first] != classes[last - 1] and (
                width >= _LARGE_CLASS or (last - first) * (ends[last - 1] - starts[first]) > _MAX_RANGE_SCORES
            ):
                last = first + (last - first) // 2
            if starts[first] < ends[last - 1]:
                self._score_range(first, last, tolerance, scores[first - start : last - start])
            first = last
        return scores, (scores > -torch.inf).sum(dim=1)

    def _score_range(self, first: int, last: int, tolerance: float, out: torch.Tensor) -> None:
        """Write the scores of the positives of the queries `first:last` to the first columns of `out`."""
        starts, ends, classes = self._ranges
        low, high = starts[first], ends[last - 1]
        scores = ExactScores(self.queries[first:last], self.gallery[low:high]).of_rows()  # (queries, high - low)
        norms, ids = self._gallery_norms[None, low:high], self._ids and self._ids[1][None, low:high]
        if classes[first] == classes[last - 1]:
            out = out[:, : high - low]
        else:
            rows = self.starts[first:last, None] - low + torch.arange(out.shape[1], device=out.device)
            is_absent = rows >= self.ends[first:last, None] - low
            rows.clamp_(max=high - low - 1)
            scores = scores.gather(1, rows).masked_fill_(is_absent, -torch.inf)
            norms, ids = norms[0, rows], None if ids is None else ids[0, rows]
        torch.sub(scores, norms * (tolerance * self._query_norms[first:last, None]), out=out)
        if self._ids is not None and ids is not None:
            out.masked_fill_(self._ids[0][first:last, None] == ids, -torch.inf)

    def is_all_wrong(self, start: int, stop: int, first: int, last: int) -> bool:
        """Return whether the gallery rows `first:last` are negatives of all queries `start:stop`, none left out."""
        starts, ends, _ = self._ranges
        return (first >= ends[stop - 1] or starts[start] >= last) and not self._ids_cross_classes

    def hide(self, scores: torch.Tensor, start: int, stop: int, first: int, last: int) -> None:
        """Set all scores but those of negatives to -inf: positives, items with the query's id, and the padding.

        Args:
            scores: `(stop - start, columns)` float32 scores of the queries `start:stop` with the gallery rows
                `first:last`, changed in place. Columns past `last` are padding.
            start: First query.
            stop: One past the last query.
            first: First gallery row.
            last: One past the last gallery row.
        """
        starts, ends, _ = self._ranges
        scores[:, last - first :] = -torch.inf
        scores = scores[:, : last - first]
        if first < ends[stop - 1] and starts[start] < last:
            is_same_class = self._query_classes[start:stop, None] == self._gallery_classes[None, first:last]
            scores.masked_fill_(is_same_class, -torch.inf)
        if self._ids_cross_classes and self._ids is not None:
            scores.masked_fill_(self._ids[0][start:stop, None] == self._ids[1][None, first:last], -torch.inf)

    def hide_own(self, scores: torch.Tensor, queries: torch.Tensor, first: int) -> None:
        """Set all scores but those of negatives to -inf, for any queries of a set that is its own gallery.

        Args:
            scores: `(num_some, columns)` float32 scores with the gallery rows from `first` on, changed in place.
            queries: `(num_some,)` int64, positions of the queries in the sorted set.
            first: First gallery row.
        """
        items = torch.arange(first, first + scores.shape[1], device=scores.device)
        is_own_class = (items >= self.starts[queries, None]) & (items < self.ends[queries, None])
        scores.masked_fill_(is_own_class | (items >= self.num_gallery), -torch.inf)


def _num_matches(codes: torch.Tensor, num_queries: int) -> int:
    """Count the pairs of equal codes between the first `num_queries` codes and the rest."""
    num_codes = int(codes.max()) + 1
    queries, gallery = (side.bincount(minlength=num_codes) for side in (codes[:num_queries], codes[num_queries:]))
    return int((queries * gallery).sum())
