"""Examine a data set before training on it: broken files, duplicates, leakage, wrong labels."""

from .examination import examine
from .findings import Finding, ImageRef, KindCounts, Report, SplitCounts
from .kinds import KINDS, SEVERITIES
from .report_files import write_report
from .settings import Settings
from .text_report import format_report

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
