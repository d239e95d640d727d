"""Write a report to files: doctor.json for programs and doctor.html for people."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ....files.atomic_writes import write_text
from ....files.json_values import write_json
from .html_page import draw_page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

    from datasets import Dataset

    from ..findings import Report

JSON_NAME, HTML_NAME = "doctor.json", "doctor.html"


def write_report(report: Report, dataset: Mapping[str, Dataset], output_dir: str | PathLike[str]) -> tuple[Path, Path]:
    """Write a report as JSON and as an HTML page with images.

    Each file is written under another name and then renamed, so that readers never see a part of it.

    Args:
        report: The report that `examine` returned.
        dataset: The data set that was examined, from which the images on the page are read.
        output_dir: The folder to write to, which is created if it does not exist. Files of these names are replaced.

    Returns:
        The paths of `doctor.json` (the content of `Report.to_dict`) and of `doctor.html` (one file that contains its
        images).
    """
    folder = Path(output_dir).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / JSON_NAME, report.to_dict(), indent=1)
    write_text(folder / HTML_NAME, draw_page(report, dataset))
    return folder / JSON_NAME, folder / HTML_NAME
