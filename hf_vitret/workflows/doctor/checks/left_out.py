"""Findings about the files that the data hold and no split has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ....data.catalogue.left_out import describe_left_out
from ..findings import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any


def find_left_out(rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Find files that are not used: one finding for each reason.

    Args:
        rows: The files by reason, from `LeftOut.to_json`.

    Returns:
        Findings of the kinds `left_out_image`, for files that look like images, and `left_out_file`, for the others.
    """
    return [
        Finding("left_out_image" if row["is_image"] else "left_out_file", line, num_files=row["count"])
        for row, line in zip(rows, describe_left_out(rows))
    ]
