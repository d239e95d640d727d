"""Write a report: doctor.json for programs, doctor.html for people."""

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
    """Write a report as a file for programs and as a page with the pictures.

    Each file is written aside and renamed: whoever reads it reads a whole one.

    Args:
        report: What `examine` returned.
        dataset: The data set it was made of; the images on the page are read from it.
        output_dir: Where to write; made where it is not there, and what is in it under these names is replaced.

    Returns:
        The paths of `doctor.json` (`Report.to_dict`) and `doctor.html` (one file, with all its images in it).
    """
    folder = Path(output_dir).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / JSON_NAME, report.to_dict(), indent=1)
    write_text(folder / HTML_NAME, draw_page(report, dataset))
    return folder / JSON_NAME, folder / HTML_NAME
