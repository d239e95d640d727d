"""What the doctor found: findings, the images they are about, and the report that holds them."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from .kinds import KINDS, SEVERITIES

# Raise it when a field of doctor.json changes its name or meaning.
FORMAT = 1


class ImageRef(NamedTuple):
    """One image of the data set.

    Attributes:
        split: Its split.
        row: Its row there.
        image_id: Its id.
        class_name: Name of its class; the number as text where classes have no names.
    """

    split: str
    row: int
    image_id: str
    class_name: str


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth to know.

    Attributes:
        kind: A key of `KINDS`: for duplicates `<how alike>:<where>`.
        detail: What is the matter with these images, in one line.
        images: The images at fault; empty where it is a whole split.
        neighbors: Images to compare them with, the nearest first.
        split: The split that is at fault as a whole.
    """

    kind: str
    detail: str
    images: tuple[ImageRef, ...] = ()
    neighbors: tuple[ImageRef, ...] = ()
    split: str | None = None

    @property
    def severity(self) -> str:
        """One of `SEVERITIES`."""
        return KINDS[self.kind].severity


class SplitCounts(NamedTuple):
    """Images and classes of a split, and how many there should be (None where nobody says)."""

    split: str
    num_images: int
    num_classes: int
    official_images: int | None = None
    official_classes: int | None = None


class KindCounts(NamedTuple):
    """How often a kind was found, and in how many images."""

    kind: str
    severity: str
    num_findings: int
    num_images: int


@dataclass(frozen=True)
class Report:
    """All that the doctor found in one data set.

    Attributes:
        name: Name of the data set.
        counts: Of each split.
        findings: Most serious kind first; inside a kind in the order of the rows (mislabelled: most certain first).
        settings: What was looked for: the fields of `Settings`, and the model.
    """

    name: str
    counts: tuple[SplitCounts, ...]
    findings: tuple[Finding, ...]
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def summary(self) -> list[KindCounts]:
        """The kinds that were found, most serious first."""
        num_findings = Counter(finding.kind for finding in self.findings)
        images: dict[str, set[tuple[str, int]]] = {}
        for finding in self.findings:
            images.setdefault(finding.kind, set()).update((image.split, image.row) for image in finding.images)
        kinds = [kind for kind in KINDS if kind in num_findings]
        kinds.sort(key=lambda kind: SEVERITIES.index(KINDS[kind].severity))  # stable: else in the order of KINDS
        return [KindCounts(kind, KINDS[kind].severity, num_findings[kind], len(images[kind])) for kind in kinds]

    def has_findings(self, at_least: str = SEVERITIES[-1]) -> bool:
        """Say whether anything of this severity or a more serious one was found."""
        counted = SEVERITIES[: SEVERITIES.index(at_least) + 1]
        return any(finding.severity in counted for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as doctor.json holds it."""
        return {
            "format": FORMAT,
            "name": self.name,
            "settings": self.settings,
            "counts": [row._asdict() for row in self.counts],
            "summary": [row._asdict() for row in self.summary],
            "findings": [_finding_to_dict(finding) for finding in self.findings],
        }


def sort_findings(findings: list[Finding]) -> tuple[Finding, ...]:
    """Order findings by severity and kind, and leave the order inside a kind as it is."""
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
