"""Data classes of a report: findings, the images that they concern, and counts by split and by kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from .kinds import KINDS, SEVERITIES

# Version of the format of doctor.json, to be raised when a field changes its name or meaning.
FORMAT = 1


class ImageRef(NamedTuple):
    """A reference to one image of the data set.

    Attributes:
        split: Name of the split.
        row: Row of the image in the split, from 0.
        image_id: The value of the column `image_id`.
        class_name: Name of the class, or its number as text if classes have no names.
    """

    split: str
    row: int
    image_id: str
    class_name: str


@dataclass(frozen=True)
class Finding:
    """One defect or oddity of the data set.

    Attributes:
        kind: A key of `KINDS`; for duplicates `<similarity>:<scope>`.
        detail: A description in one line.
        images: The images concerned; empty if a whole split is concerned.
        neighbors: Images to compare them with, the nearest first.
        split: Name of the split if the finding concerns it as a whole, else `None`.
        num_files: Number of files that it concerns and that no split has.
    """

    kind: str
    detail: str
    images: tuple[ImageRef, ...] = ()
    neighbors: tuple[ImageRef, ...] = ()
    split: str | None = None
    num_files: int = 0

    @property
    def severity(self) -> str:
        """The severity of its kind, one of `SEVERITIES`."""
        return KINDS[self.kind].severity


class SplitCounts(NamedTuple):
    """Numbers of images and classes of a split, and the official numbers (`None` if there are none).

    Attributes:
        split: Name of the split.
        num_images: Number of its images.
        num_classes: Number of its classes.
        official_images: Official number of images.
        official_classes: Official number of classes.
    """

    split: str
    num_images: int
    num_classes: int
    official_images: int | None = None
    official_classes: int | None = None


class KindCounts(NamedTuple):
    """Numbers of findings of one kind and of the images that they concern.

    Attributes:
        kind: A key of `KINDS`.
        severity: The severity of the kind, one of `SEVERITIES`.
        num_findings: Number of findings.
        num_images: Number of distinct images in them, and of files that no split has.
    """

    kind: str
    severity: str
    num_findings: int
    num_images: int


@dataclass(frozen=True)
class Report:
    """The findings in one data set.

    Attributes:
        name: Name of the data set.
        counts: The counts of each split.
        findings: The findings, most serious kind first. Those of one kind are in the order of the rows, and mislabelled
            images are sorted by certainty, highest first.
        settings: The fields of `Settings`, and `has_model`: whether a model was used.
    """

    name: str
    counts: tuple[SplitCounts, ...]
    findings: tuple[Finding, ...]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> list[KindCounts]:
        """The counts of each kind that was found, most serious first."""
        num_findings = Counter(finding.kind for finding in self.findings)
        images: dict[str, set[tuple[str, int]]] = {}
        for finding in self.findings:
            images.setdefault(finding.kind, set()).update((image.split, image.row) for image in finding.images)
        num_files = Counter[str]()
        for finding in self.findings:
            num_files[finding.kind] += finding.num_files
        kinds = [kind for kind in KINDS if kind in num_findings]
        kinds.sort(key=lambda kind: SEVERITIES.index(KINDS[kind].severity))  # stable, so that ties keep KINDS' order
        return [
            KindCounts(kind, KINDS[kind].severity, num_findings[kind], len(images[kind]) + num_files[kind])
            for kind in kinds
        ]

    def has_findings(self, at_least: str = SEVERITIES[-1]) -> bool:
        """Say whether there is a finding of a severity or a more serious one.

        Args:
            at_least: The lowest severity that counts, one of `SEVERITIES`. Default: every finding counts.
        """
        counted = SEVERITIES[: SEVERITIES.index(at_least) + 1]
        return any(finding.severity in counted for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as the content of doctor.json."""
        return {
            "format": FORMAT,
            "name": self.name,
            "settings": self.settings,
            "counts": [row._asdict() for row in self.counts],
            "summary": [row._asdict() for row in self.summary],
            "findings": [_finding_to_dict(finding) for finding in self.findings],
        }


def sort_findings(findings: list[Finding]) -> tuple[Finding, ...]:
    """Sort findings by severity and kind, and keep the order of those of one kind."""
    kinds = list(KINDS)
    return tuple(sorted(findings, key=lambda one: (SEVERITIES.index(one.severity), kinds.index(one.kind))))


def _finding_to_dict(finding: Finding) -> dict[str, Any]:
    kind, _, scope = finding.kind.partition(":")
    return {
        **asdict(finding),
        "kind": kind,
        "scope": scope or None,
        "severity": finding.severity,
        "images": [image._asdict() for image in finding.images],
        "neighbors": [image._asdict() for image in finding.neighbors],
    }
