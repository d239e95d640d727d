"""Format a report as tables of text for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..findings import Report, SplitCounts


def format_report(report: Report) -> str:
    """Format the counts of the splits and of the findings as two tables, with the most serious kind first.

    Args:
        report: The report that `examine` returned.

    Returns:
        Lines of text, without a line break at the end.
    """
    counts = [[row.split, *write_counts(row)] for row in report.counts]
    lines = _align(["split", "images", "classes", "official images", "classes"], counts, left=1)
    lines.append("")
    if not report.findings:
        return "\n".join([*lines, "Nothing found."])
    found = [
        [row.severity, KINDS[row.kind].title, f"{row.num_findings:,}", f"{row.num_images:,}"] for row in report.summary
    ]
    return "\n".join([*lines, *_align(["severity", "kind", "findings", "images"], found, left=2)])


def write_counts(row: SplitCounts) -> list[str]:
    """Format the numbers of images, classes, official images and official classes, with a dash if there is none."""
    return ["-" if number is None else f"{number:,}" for number in row[1:]]


def _align(header: Sequence[str], rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """Align a table: its first `left` columns to the left, and the others, which hold numbers, to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows)]
    lines = [header, ["-" * width for width in widths], *rows]
    return [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths))
        ).rstrip()
        for line in lines
    ]
