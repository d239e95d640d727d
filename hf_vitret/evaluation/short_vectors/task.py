"""`ShortVectorTask`: retrieval metrics of vectors stored in a given precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ...compression.quantization import int8_scale, pack_signs, to_int8, unpack_signs
from ..metrics.metric_choice import MetricChoice
from ..metrics.retrieval import retrieval_metrics
from ..ranking.search_codes import SearchCodes
from .shortlist_ranks import rescored_metrics

_CHOICE = MetricChoice(("recall_at_k", "map_at_r"), (1,))


@dataclass(frozen=True)
class Vectors:
    """Unit-norm rows of the train split, the queries and the gallery, `(num_rows, dim)` float32.

    Attributes:
        train: The rows that int8 is calibrated on.
        queries: The queries.
        gallery: The searched items; the same tensor as the queries for leave-one-out.
    """

    train: torch.Tensor
    queries: torch.Tensor
    gallery: torch.Tensor


@dataclass(frozen=True)
class ShortVectorTask:
    """A query set and a gallery, or one set for leave-one-out, whose vectors are scored in several precisions.

    Attributes:
        codes: The labels and ids, which define the positives and the items that are left out of a list.
    """

    codes: SearchCodes

    def score(
        self, vectors: Mapping[str, Vectors], precision: str, shortlist: int
    ) -> dict[str, dict[str, float | int]]:
        """Score vectors that are stored in a precision.

        Args:
            vectors: Vectors by name, all with the same signs, so that binary codes are scored and searched once.
            precision: One of `PRECISIONS`.
            shortlist: Number of candidates of each query that are rescored.

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
            self.codes.labels,
            self.codes.gallery_labels,
            self.codes.ids,
            shortlist,
            _CHOICE,
        )
        return {name: each.metrics() for name, each in sums.items()}

    def _metrics(self, queries: torch.Tensor, gallery: torch.Tensor) -> dict[str, float | int]:
        codes = self.codes
        if codes.is_own_gallery:
            return retrieval_metrics(queries, codes.labels, ks=_CHOICE.ks, metrics=_CHOICE.metrics)
        query_ids, gallery_ids = (None, None) if codes.ids is None else codes.ids
        return retrieval_metrics(
            queries,
            codes.labels,
            gallery,
            codes.gallery_labels,
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
