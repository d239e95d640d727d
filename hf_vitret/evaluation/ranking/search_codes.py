"""Labels and ids of queries and gallery as codes, once it is checked that they belong together."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hf_vitret.search.exact_codes import Identifiers, exact_codes, paired_ids

Ids = tuple[torch.Tensor, torch.Tensor]
"""Codes of the ids of queries and gallery, `(num_queries,)` and `(num_gallery,)` int64; equal ones are each other's."""


@dataclass(frozen=True)
class SearchCodes:
    """Who is right for whom, and who does not see whom.

    Attributes:
        labels: `(num_queries,)` int64.
        gallery_labels: `(num_gallery,)` int64.
        ids: Equal ids do not see each other. None: all do.
        is_own_gallery: Whether the gallery is the query set (leave-one-out).
    """

    labels: torch.Tensor
    gallery_labels: torch.Tensor
    ids: Ids | None
    is_own_gallery: bool

    @classmethod
    def of(
        cls,
        rows: torch.Tensor,
        labels: Identifiers,
        gallery_rows: torch.Tensor | None,
        gallery_labels: Identifiers | None,
        query_ids: Identifiers | None,
        gallery_ids: Identifiers | None,
        *,
        name: str = "embeddings",
    ) -> SearchCodes:
        """Check what belongs together, and turn labels and ids into codes.

        Args:
            rows: `(num_queries, dim)`, the queries.
            labels: `(num_queries,)` integers or strings, exact whatever their size.
            gallery_rows: `(num_gallery, dim)`. None: every item queries all the others.
            gallery_labels: `(num_gallery,)`, of the same kind as `labels`.
            query_ids: `(num_queries,)`; a gallery item with the id of the query is absent for it.
            gallery_ids: `(num_gallery,)`. Both or neither, and only with a gallery.
            name: What the rows are called, for the messages.

        Raises:
            TypeError: Labels or ids are floats.
            ValueError: Arguments that belong together do not come so, or do not match in number.

        Example:
            >>> codes = SearchCodes.of(torch.eye(3), ["mug", "cup", "mug"], None, None, None, None)
            >>> codes.labels, codes.is_own_gallery
            (tensor([0, 1, 0]), True)
        """
        if (gallery_rows is None) != (gallery_labels is None):
            raise ValueError(f"gallery_{name} and gallery_labels must come together: pass both or neither.")
        ids = absent_ids(rows, gallery_rows, query_ids, gallery_ids)
        if gallery_rows is None or gallery_labels is None:
            (codes,) = exact_codes(labels, name="labels", device=rows.device)
            found = cls(codes, codes, ids, is_own_gallery=True)
        else:
            query_codes, gallery_codes = exact_codes(labels, gallery_labels, name="labels", device=rows.device)
            found = cls(query_codes, gallery_codes, ids, is_own_gallery=False)
        for which, side, codes in (
            ("labels", rows, found.labels),
            ("gallery_labels", rows if gallery_rows is None else gallery_rows, found.gallery_labels),
        ):
            if len(codes) != len(side):
                raise ValueError(f"{which} must have one label for each of the {len(side)} {name}, got {len(codes)}.")
        return found


def absent_ids(
    rows: torch.Tensor,
    gallery_rows: torch.Tensor | None,
    query_ids: Identifiers | None,
    gallery_ids: Identifiers | None,
) -> Ids | None:
    """Return what tells a query from the items that it does not see: without a gallery, its position.

    Raises:
        TypeError: Ids are floats.
        ValueError: There are ids without a gallery, of one side alone, or not one for each row.
    """
    if gallery_rows is not None:
        return paired_ids(query_ids, gallery_ids, len(rows), len(gallery_rows), rows.device)
    if query_ids is not None or gallery_ids is not None:
        raise ValueError(
            "query_ids and gallery_ids need a gallery. Without one each item is left out of its own list by "
            "position: leave them out, or pass the gallery."
        )
    positions = torch.arange(len(rows), device=rows.device)
    return positions, positions
