"""Examine a data set before training for broken files, duplicates, leakage between splits and wrong labels."""

from .examination import examine
from .findings import Finding, ImageRef, KindCounts, Report, SplitCounts
from .kinds import KINDS, SEVERITIES
from .report.report_files import write_report
from .report.text_report import format_report
from .settings import Settings

__all__ = [
    "KINDS",
    "SEVERITIES",
    "Finding",
    "ImageRef",
    "KindCounts",
    "Report",
    "Settings",
    "SplitCounts",
    "examine",
    "format_report",
    "write_report",
]
