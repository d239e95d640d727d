"""`SearchCodes`: labels and ids of queries and gallery, checked against each other and converted to int64 codes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from hf_vitret.search.exact_codes import Identifiers, exact_codes, paired_ids

Ids = tuple[torch.Tensor, torch.Tensor]
"""Codes of the ids of queries and gallery, `(num_queries,)` and `(num_gallery,)` int64; equal ids have equal codes."""


@dataclass(frozen=True)
class SearchCodes:
    """Labels and ids as codes: which gallery items are positives of a query, and which are left out of its list.

    Attributes:
        labels: `(num_queries,)` int64, the classes of the queries.
        gallery_labels: `(num_gallery,)` int64, the classes of the gallery.
        ids: Codes of the ids. A gallery item with the id of the query is left out of its list. `None` leaves none out.
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
        """Check that labels and ids fit the rows, and convert them to codes.

        Args:
            rows: `(num_queries, dim)`, the rows of the queries.
            labels: `(num_queries,)` integers or strings, the class of each query; integers of any size stay exact.
            gallery_rows: `(num_gallery, dim)`. `None`: every item is a query, and searches all the others.
            gallery_labels: `(num_gallery,)`, of the same kind as `labels`.
            query_ids: `(num_queries,)` integers, strings or tuples. A gallery item with the id of the query is left out
                of its list.
            gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`. Both or neither, and only with a gallery.
            name: What the rows are, for the error messages.

        Raises:
            TypeError: Labels or ids are floats.
            ValueError: Labels or ids come without their counterpart, or do not match the rows in number.

        Example:
            >>> codes = SearchCodes.of(torch.eye(3), ["mug", "cup", "mug"], None, None, None, None)
            >>> codes.labels, codes.is_own_gallery
            (tensor([0, 1, 0]), True)
        """
        if (gallery_rows is None) != (gallery_labels is None):
            received = "gallery_labels" if gallery_rows is None else f"gallery_{name}"
            raise ValueError(
                f"gallery_{name} and gallery_labels must come together, got {received} alone. Pass both or neither."
            )
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
                raise ValueError(
                    f"{which} must have one label for each of the {len(side)} {name}, got {len(codes)}. Pass the "
                    f"labels of these {name}."
                )
        return found


def absent_ids(
    rows: torch.Tensor,
    gallery_rows: torch.Tensor | None,
    query_ids: Identifiers | None,
    gallery_ids: Identifiers | None,
) -> Ids | None:
    """Return the codes of the ids that leave items out of the lists; without a gallery, the positions of the rows.

    Args:
        rows: `(num_queries, dim)`, the rows of the queries.
        gallery_rows: `(num_gallery, dim)`, or `None` for leave-one-out.
        query_ids: `(num_queries,)` integers, strings or tuples, or `None`.
        gallery_ids: `(num_gallery,)`, of the same kind as `query_ids`, or `None`.

    Returns:
        The codes; `None` if there is a gallery and there are no ids.

    Raises:
        TypeError: Ids are floats.
        ValueError: There are ids without a gallery, ids of one side alone, or not one id for each row.
    """
    if gallery_rows is not None:
        return paired_ids(query_ids, gallery_ids, len(rows), len(gallery_rows), rows.device)
    if query_ids is not None or gallery_ids is not None:
        raise ValueError(
            "query_ids and gallery_ids need a gallery, got none. Without a gallery, each item is left out of its own "
            "list by its position. Leave the ids out, or pass the gallery."
        )
    positions = torch.arange(len(rows), device=rows.device)
    return positions, positions
