"""Graded relevance of gallery images for queries: shared labels of images with several labels, and grades by pair."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch

from hf_vitret.search.exact_codes import exact_codes

Pairs: TypeAlias = "torch.Tensor | np.ndarray[Any, Any] | Sequence[tuple[int, int]]"

# Number of gallery images that share a label with a query and are looked up at once: three int64 each, 24 MB.
_MAX_SHARED = 1_000_000


class Relevance(Protocol):
    """How relevant each gallery image is for each query.

    Attributes:
        num_queries: Number of queries.
        num_gallery: Number of gallery images.
    """

    num_queries: int
    num_gallery: int

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return the grades for the queries `start:stop`, `(stop - start, num_gallery)` float64; 0 for a negative."""
        ...


class SharedLabels:
    """Relevance of images with several labels: the grade is the number of labels that query and gallery image share.

    Args:
        labels: For each query, its labels: a collection of integers or of strings, which may be empty. A label that
            occurs twice in it counts once.
        gallery_labels: For each gallery image, its labels, of the same kind as `labels`. `None`: the queries are the
            gallery (leave-one-out).

    Attributes:
        num_queries: Number of queries.
        num_gallery: Number of gallery images.

    Raises:
        TypeError: Labels are floats, integers for some images and strings for others, or not a collection for each
            image.

    Example:
        >>> SharedLabels([["cup", "red"], ["red"], ["cup", "red", "old"]]).rows(0, 1)
        tensor([[2., 1., 2.]], dtype=torch.float64)
    """

    def __init__(
        self, labels: Sequence[Iterable[Hashable]], gallery_labels: Sequence[Iterable[Hashable]] | None = None
    ) -> None:
        sides = [labels] if gallery_labels is None else [labels, gallery_labels]
        rows = [[_label_set(each) for each in side] for side in sides]
        codes = exact_codes(*([*chain.from_iterable(side)] for side in rows), name="labels")
        numbers = torch.unique(torch.cat(codes), return_inverse=True)[1].split([len(each) for each in codes])
        counts = [torch.tensor([len(each) for each in side], dtype=torch.int64) for side in rows]
        self.num_queries, self.num_gallery = len(rows[0]), len(rows[-1])
        self._query_labels = numbers[0].split(counts[0].tolist())
        # The gallery images of each label, one label after another.
        gallery_labels_sorted, order = numbers[-1].sort(stable=True)
        self._images = torch.arange(self.num_gallery).repeat_interleave(counts[-1])[order]
        num_labels = max((int(each.max()) + 1 for each in numbers if len(each)), default=0)
        self._sizes = gallery_labels_sorted.bincount(minlength=num_labels)
        self._starts = self._sizes.cumsum(dim=0) - self._sizes

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return the grades of all gallery images for some queries.

        Args:
            start: Row of the first query.
            stop: One past the row of the last query.

        Returns:
            `(stop - start, num_gallery)` float64 on the CPU; 0 for a negative.
        """
        grades = torch.zeros((stop - start) * self.num_gallery, dtype=torch.float64)
        labels = torch.cat(self._query_labels[start:stop])
        lengths = torch.tensor([len(each) for each in self._query_labels[start:stop]])
        offsets = torch.arange(stop - start).repeat_interleave(lengths) * self.num_gallery
        num_at_once = max(1, _MAX_SHARED // max(1, int(self._sizes.max()))) if len(self._sizes) else 1
        for some, offset in zip(torch.split(labels, num_at_once), torch.split(offsets, num_at_once), strict=True):
            sizes = self._sizes[some]
            skipped = self._starts[some] - (sizes.cumsum(dim=0) - sizes)
            found = torch.arange(int(sizes.sum())) + skipped.repeat_interleave(sizes)
            entries = offset.repeat_interleave(sizes) + self._images[found]
            grades.index_add_(0, entries, torch.ones(len(entries), dtype=torch.float64))
        return grades.view(stop - start, self.num_gallery)


class GradedPairs:
    """Relevance given as grades of pairs of a query and a gallery image; all other pairs are negatives.

    Args:
        pairs: `(num_pairs, 2)` integers: the row of a query and the row of a gallery image. Each pair occurs once.
        grades: `(num_pairs,)` numbers of at least 0, the grade of each pair and its gain in nDCG.
        num_queries: Number of queries.
        num_gallery: Number of gallery images.

    Raises:
        TypeError: Pairs are not integers.
        ValueError: A row is out of range, a pair occurs twice, a grade is negative or not finite, or shapes do not
            match.

    Example:
        >>> GradedPairs([(0, 2), (1, 0)], [3.0, 1.0], num_queries=2, num_gallery=3).rows(0, 2)
        tensor([[0., 0., 3.],
                [1., 0., 0.]], dtype=torch.float64)
    """

    def __init__(
        self, pairs: Pairs, grades: torch.Tensor | Sequence[float], num_queries: int, num_gallery: int
    ) -> None:
        rows = checked_pairs(pairs, num_queries, num_gallery, "pairs")
        values = torch.as_tensor(grades, dtype=torch.float64, device="cpu")
        if values.shape != (len(rows),):
            raise ValueError(
                f"grades must be one for each of the {len(rows)} pairs, got shape {tuple(values.shape)}. Pass one "
                "number for each pair."
            )
        is_wrong = ~(values.isfinite() & (values >= 0))
        if is_wrong.any():
            raise ValueError(
                f"grades must be finite and at least 0, got {float(values[is_wrong][0])}. A grade of 0 means wrong."
            )
        order = (rows[:, 0] * num_gallery + rows[:, 1]).argsort(stable=True)
        self._pairs, self._grades = rows[order], values[order]
        is_again = (self._pairs.diff(dim=0) == 0).all(dim=1)
        if is_again.any():
            query, image = self._pairs[1:][is_again][0].tolist()
            raise ValueError(f"pairs must hold each pair once, got ({query}, {image}) twice. Keep one of its grades.")
        self.num_queries, self.num_gallery = num_queries, num_gallery

    def rows(self, start: int, stop: int) -> torch.Tensor:
        """Return the grades of all gallery images for some queries.

        Args:
            start: Row of the first query.
            stop: One past the row of the last query.

        Returns:
            `(stop - start, num_gallery)` float64 on the CPU; 0 for a negative.
        """
        grades = torch.zeros(stop - start, self.num_gallery, dtype=torch.float64)
        first, last = torch.searchsorted(self._pairs[:, 0].contiguous(), torch.tensor([start, stop])).tolist()
        queries, images = self._pairs[first:last].unbind(dim=1)
        grades[queries - start, images] = self._grades[first:last]
        return grades


def checked_pairs(pairs: Pairs, num_queries: int, num_gallery: int, name: str) -> torch.Tensor:
    """Check pairs of a query's row and a gallery row, and return them as `(num_pairs, 2)` int64 on the CPU.

    Args:
        pairs: The pairs; there may be none.
        num_queries: Number of queries.
        num_gallery: Number of gallery images.
        name: Name of the argument, for the error messages.

    Raises:
        TypeError: The pairs are not integers.
        ValueError: The shape is not `(num_pairs, 2)`, or a row is out of range.
    """
    rows = torch.as_tensor(pairs if isinstance(pairs, (torch.Tensor, np.ndarray)) else list(pairs), device="cpu")
    if not rows.numel():
        return torch.zeros(0, 2, dtype=torch.int64)
    if rows.is_floating_point() or rows.is_complex() or rows.dtype == torch.bool:
        raise TypeError(f"{name} must be rows, whole numbers, got {rows.dtype}. Convert them to int64.")
    if rows.ndim != 2 or rows.shape[1] != 2:
        raise ValueError(
            f"{name} must be (num_pairs, 2), a query's row and a gallery row, got {tuple(rows.shape)}. Pass one row of "
            "two numbers for each pair."
        )
    rows = rows.long()
    is_outside = ((rows < 0) | (rows >= torch.tensor([num_queries, num_gallery]))).any(dim=1)
    if is_outside.any():
        raise ValueError(
            f"{name} must be rows of the {num_queries} queries and the {num_gallery} gallery images, got "
            f"{tuple(rows[is_outside][0].tolist())}. Rows are counted from 0."
        )
    return rows


def _label_set(labels: Iterable[Hashable]) -> list[Hashable]:
    """Return the labels of an image without duplicates."""
    if isinstance(labels, (str, bytes)) or not isinstance(labels, Iterable):
        raise TypeError(
            f"labels must be a collection for each image, got {labels!r}. Write [{labels!r}] for one label."
        )
    return list(dict.fromkeys(labels.tolist() if isinstance(labels, (torch.Tensor, np.ndarray)) else labels))
