"""A report as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..findings import Report, SplitCounts


def format_report(report: Report) -> str:
    """Lay out counts and findings as two tables, the most serious kind first.

    Args:
        report: What `examine` returned.

    Returns:
        Lines of text, the last without a line break.
    """
    counts = [[row.split, *write_counts(row)] for row in report.counts]
    lines = _align(["split", "images", "classes", "official images", "classes"], counts, left=1)
    lines.append("")
    if not report.findings:
        return "\n".join([*lines, "Nothing found."])
    found = [
        [row.severity, KINDS[row.kind].title, f"{row.num_findings:,}", f"{row.num_images:,}"] for row in report.summary
    ]
    return "\n".join([*lines, *_align(["severity", "what", "findings", "images"], found, left=2)])


def write_counts(row: SplitCounts) -> list[str]:
    """Write the numbers of a split: images, classes, official images, official classes; a dash for an unknown one."""
    return ["-" if number is None else f"{number:,}" for number in row[1:]]


def _align(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Align columns: the first `left` of them to the left, the others, numbers, to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    lines = [header, ["-" * width for width in widths], *rows]
    return [
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    ]
