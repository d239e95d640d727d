"""Draw a report as one HTML page with the counts and the images of the findings."""

from __future__ import annotations

from html import escape
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from ..checks.image_facts import without_pixel_limit
from ..kinds import KINDS
from .page_images import PageImages
from .text_report import write_counts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from datasets import Dataset

    from ..findings import Finding, ImageRef, Report, SplitCounts

# Findings drawn of each kind, and images drawn of each finding; the page says how many are left out. At about 5 kB per
# image, 20 findings of 6 images take 0.6 MB.
MAX_DRAWN = 20
MAX_IMAGES = 6
# Kinds that are shown as text: they concern whole splits, or their images cannot be read or are not decoded (giant).
_WITHOUT_PICTURES = (
    "counts",
    "left_out_image",
    "left_out_file",
    "class_level",
    "repeated_class_folder",
    "unreadable",
    "giant",
)


def draw_page(report: Report, dataset: Mapping[str, Dataset]) -> str:
    """Draw a report as an HTML page.

    Args:
        report: The report that `examine` returned.
        dataset: The data set that was examined, from which the images are read.

    Returns:
        A complete HTML document that loads nothing from other files or servers.
    """
    giant = {image for finding in report.findings if finding.kind == "giant" for image in finding.images}
    images = PageImages(dataset, left_out=giant)
    title = f"Doctor's report: {report.name or 'data set'}"
    with without_pixel_limit():  # images above the doctor's own limit are giant and are not decoded
        sections = "\n".join(_draw_section(report, row.kind, images) for row in report.summary)
    template = Template(Path(__file__).with_name("page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        counts="\n".join(map(_draw_counts, report.counts)),
        summary=_draw_summary(report),
        sections=sections,
        settings=escape(", ".join(f"{name} {value}" for name, value in report.settings.items())),
    )


def _draw_counts(row: SplitCounts) -> str:
    numbers = "".join(f'<td class="number">{number}</td>' for number in write_counts(row))
    return f"<tr><td>{escape(row.split)}</td>{numbers}</tr>"


def _draw_summary(report: Report) -> str:
    if not report.findings:
        return '<p class="good">Nothing found.</p>'
    rows = "\n".join(
        f'<tr><td>{_badge(row.severity)}</td><td><a href="#{_anchor(row.kind)}">'
        f"{escape(KINDS[row.kind].title)}</a></td>"
        f'<td class="number">{row.num_findings:,}</td><td class="number">{row.num_images:,}</td></tr>'
        for row in report.summary
    )
    header = '<tr><th>severity</th><th>kind</th><th class="number">findings</th><th class="number">images</th></tr>'
    return f"<table><thead>{header}</thead><tbody>\n{rows}\n</tbody></table>"


def _draw_section(report: Report, kind: str, images: PageImages) -> str:
    """Draw the first findings of a kind, and the number of those left out."""
    found = [finding for finding in report.findings if finding.kind == kind]
    drawn = "\n".join(_draw_finding(finding, images) for finding in found[:MAX_DRAWN])
    left_out = len(found) - MAX_DRAWN
    more = f'<p class="more">{left_out:,} more of this kind are in doctor.json.</p>' if left_out > 0 else ""
    facts = KINDS[kind]
    is_small = all(len(finding.images) + len(finding.neighbors) <= 1 for finding in found[:MAX_DRAWN])
    layout = "grid" if is_small and kind not in _WITHOUT_PICTURES else "list"
    return (
        f'<section id="{_anchor(kind)}"><h2>{_badge(facts.severity)} {escape(facts.title)} '
        f'<span class="count">{len(found):,}</span></h2>\n<p class="advice">{escape(facts.advice)}</p>\n'
        f'<div class="{layout}">\n{drawn}\n</div>{more}</section>'
    )


def _draw_finding(finding: Finding, images: PageImages) -> str:
    if finding.kind in _WITHOUT_PICTURES:
        names = ", ".join(f"{image.split}, row {image.row}: {image.image_id}" for image in finding.images)
        separator = " &ndash; " if names else ""
        return f'<p class="line"><b>{escape(names)}</b>{separator}{escape(finding.detail)}</p>'
    cards = _draw_cards(finding.images, images)
    if finding.neighbors:
        cards += f'<div class="arrow" aria-hidden="true">&rarr;</div>{_draw_cards(finding.neighbors, images)}'
    return f'<div class="finding"><p>{escape(finding.detail)}</p><div class="cards">{cards}</div></div>'


def _draw_cards(refs: Sequence[ImageRef], images: PageImages) -> str:
    cards = "".join(_draw_card(ref, images) for ref in refs[:MAX_IMAGES])
    left_out = len(refs) - MAX_IMAGES
    return cards + (f'<div class="more">and {left_out:,} more</div>' if left_out > 0 else "")


def _draw_card(ref: ImageRef, images: PageImages) -> str:
    uri = images.data_uri(ref)
    name = escape(ref.image_id)
    picture = '<div class="lost">no picture</div>' if uri is None else f'<img src="{uri}" alt="{name}">'
    return (
        f'<figure>{picture}<figcaption><span class="split">{escape(ref.split)}</span> {escape(ref.class_name)}'
        f'<br><span class="id" title="{name}">{name}</span></figcaption></figure>'
    )


def _badge(severity: str) -> str:
    return f'<span class="badge {severity}">{severity}</span>'


def _anchor(kind: str) -> str:
    return kind.replace(":", "-")
