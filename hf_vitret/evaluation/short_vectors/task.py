"""Who is to find whom, scored with vectors stored in one precision or another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ...search.exact_codes import Identifiers, exact_codes, paired_ids
from ...search.quantization import int8_scale, pack_signs, to_int8, unpack_signs
from ..metrics.metric_choice import MetricChoice
from ..metrics.retrieval import retrieval_metrics
from .shortlist_ranks import rescored_metrics

_CHOICE = MetricChoice(("recall_at_k", "map_at_r"), (1,))


@dataclass(frozen=True)
class Vectors:
    """Unit-norm rows of the three sides, `(num_rows, dim)` float32.

    Attributes:
        train: What int8 is calibrated on.
        queries: What seeks.
        gallery: What is sought; the queries themselves for leave-one-out.
    """

    train: torch.Tensor
    queries: torch.Tensor
    gallery: torch.Tensor


@dataclass(frozen=True)
class ShortVectorTask:
    """A query set and a gallery, or one set for leave-one-out.

    Attributes:
        labels: `(num_queries,)` int64.
        gallery_labels: `(num_gallery,)` int64.
        ids: `(num_queries,)` and `(num_gallery,)` int64: equal ids do not see each other. None: all do.
        is_leave_one_out: Whether the gallery is the query set.
    """

    labels: torch.Tensor
    gallery_labels: torch.Tensor
    ids: tuple[torch.Tensor, torch.Tensor] | None
    is_leave_one_out: bool

    @classmethod
    def of(
        cls,
        features: torch.Tensor,
        labels: Identifiers,
        gallery_features: torch.Tensor | None,
        gallery_labels: Identifiers | None,
        query_ids: Identifiers | None,
        gallery_ids: Identifiers | None,
    ) -> ShortVectorTask:
        """Check what belongs together, and turn labels and ids into codes once for all scores.

        Raises:
            TypeError: Labels or ids are floats.
            ValueError: Arguments that belong together do not come so, or do not match in number.
        """
        device = features.device
        if (gallery_features is None) != (gallery_labels is None):
            raise ValueError("gallery_features and gallery_labels must come together: pass both or neither.")
        if gallery_features is None or gallery_labels is None:
            if query_ids is not None or gallery_ids is not None:
                raise ValueError("query_ids and gallery_ids need a gallery: leave them out, or pass the gallery.")
            (codes,) = exact_codes(labels, name="labels", device=device)
            positions = torch.arange(len(codes), device=device)
            task = cls(codes, codes, (positions, positions), is_leave_one_out=True)
        else:
            query_codes, gallery_codes = exact_codes(labels, gallery_labels, name="labels", device=device)
            ids = paired_ids(query_ids, gallery_ids, len(features), len(gallery_features), device)
            task = cls(query_codes, gallery_codes, ids, is_leave_one_out=False)
        for name, side, numbers in (
            ("labels", features, task.labels),
            ("gallery_labels", gallery_features, task.gallery_labels),
        ):
            if side is not None and len(side) != len(numbers):
                raise ValueError(f"{name} must have one label for each of {len(side)} features, got {len(numbers)}.")
        return task

    def score(
        self, vectors: Mapping[str, Vectors], precision: str, shortlist: int
    ) -> dict[str, dict[str, float | int]]:
        """Score vectors that are stored in a precision.

        Args:
            vectors: By name; all with the same signs, so that binary codes are scored and searched once.
            precision: One of `PRECISIONS`.
            shortlist: Candidates of each query that are rescored.

        Returns:
            For each name `recall_at_1`, `map_at_r` and the numbers of queries.
        """
        first = next(iter(vectors.values()))
        if precision == "binary":
            return dict.fromkeys(vectors, self._metrics(*_stored(first, precision)))
        if precision != "binary_rescored":
            return {name: self._metrics(*_stored(sides, precision)) for name, sides in vectors.items()}
        sums = rescored_metrics(
            {name: sides.queries for name, sides in vectors.items()},
            pack_signs(first.gallery),
            self.labels,
            self.gallery_labels,
            self.ids,
            shortlist,
            _CHOICE,
        )
        return {name: each.metrics() for name, each in sums.items()}

    def _metrics(self, queries: torch.Tensor, gallery: torch.Tensor) -> dict[str, float | int]:
        if self.is_leave_one_out:
            return retrieval_metrics(queries, self.labels, ks=_CHOICE.ks, metrics=_CHOICE.metrics)
        query_ids, gallery_ids = (None, None) if self.ids is None else self.ids
        return retrieval_metrics(
            queries,
            self.labels,
            gallery,
            self.gallery_labels,
            query_ids=query_ids,
            gallery_ids=gallery_ids,
            ks=_CHOICE.ks,
            metrics=_CHOICE.metrics,
        )


def _stored(vectors: Vectors, precision: str) -> list[torch.Tensor]:
    """Return queries and gallery as they are stored, as floats whose inner product is the score."""
    sides = [vectors.queries] if vectors.gallery is vectors.queries else [vectors.queries, vectors.gallery]
    if precision == "float16":
        sides = [side.half() for side in sides]
    elif precision == "int8":
        scale = int8_scale(vectors.train)
        sides = [to_int8(side, scale).float() for side in sides]
    elif precision == "binary":
        sides = [unpack_signs(pack_signs(side), side.shape[1]) for side in sides]
    return [sides[0], sides[-1]]
