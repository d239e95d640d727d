"""Find class names that are probably no class of their own: variants, placeholders, typing errors, views and shards."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

import numpy as np

from ....data.schema import MAX_NAMED, name_some
from ..findings import Finding
from .disjoint_sets import DisjointSets
from .similar_names import similar_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..findings import ImageRef
    from .image_table import ImageTable

# Names that programs write for a missing label, folded. The first, -1, is the noise of a clustering too.
PLACEHOLDERS = frozenset(
    {"-1", "-1.0", "", "nan", "none", "null", "nil", "n/a", "#n/a", "na", "<na>", "nat", "?", "-", "missing"}
    | {"unknown", "undefined", "unlabeled", "unlabelled", "no label", "not given"}
)
VIEWS = frozenset(
    {"front", "back", "rear", "side", "left", "right", "top", "bottom", "inside", "outside", "above", "below"}
    | {"detail", "details", "closeup", "close-up", "zoom", "profile", "angle", "full", "additional", "main"}
    | {"image", "images", "photo", "photos", "picture", "pictures", "original", "originals", "raw", "thumbnail"}
    | {"thumbnails", "small", "medium", "large", "train", "test", "val", "valid", "validation", "eval", "dev"}
)
_SHARD = re.compile(r"(part|shard|batch|chunk|fold|split|volume|vol|disk|archive|subset|block|bucket)[\s_-]*\d+")
_INVISIBLE = re.compile("[\u00ad\u200b\ufeff]")  # soft hyphen, zero-width space, byte order mark


def find_doubtful_names(table: ImageTable) -> list[Finding]:
    """Find class names that are probably no class of their own.

    Args:
        table: The images.

    Returns:
        Findings of the kinds `class_name_variants`, `placeholder_class`, `similar_class_names`, `class_level` and
        `repeated_class_folder`, in this order.
    """
    folded: dict[str, list[int]] = {}
    for code, name in enumerate(table.class_names):
        folded.setdefault(fold(name), []).append(code)
    classes = _Classes(table)
    findings = []
    for codes in folded.values():
        if len(codes) > 1:
            detail = f"{len(codes)} names differ only in case, spaces or Unicode form: {classes.describe(codes)}"
            findings.append(Finding("class_name_variants", detail, classes.images(codes)))
    for name, codes in folded.items():
        if name in PLACEHOLDERS:
            detail = f"the name stands for a missing label: {classes.describe(codes)}"
            findings.append(Finding("placeholder_class", detail, classes.images(codes)))
    for group in _similar_groups(list(folded)):
        codes = [code for name in group for code in folded[name]]
        detail = f"{len(codes)} names differ by one letter or separator: {classes.describe(codes)}"
        findings.append(Finding("similar_class_names", detail, classes.images(codes)))
    looks = looks_like(list(folded))
    if looks:
        detail = f"the {len(table.class_names)} classes look like {looks}: "
        findings.append(Finding("class_level", detail + classes.describe(range(len(table.class_names)))))
    return findings + _repeated_folders(table, classes)


def fold(name: str) -> str:
    """Return a class name without its case, its Unicode form (NFKC), and superfluous and invisible spaces."""
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", name))
    return " ".join(unicodedata.normalize("NFKC", visible.casefold()).split())


def looks_like(names: Sequence[str]) -> str | None:
    """Say what the names of all classes look like together, if they look like no classes.

    Args:
        names: The folded names.

    Returns:
        `"views or parts of a collection"`, `"shards"`, or `None`.
    """
    if len(names) < 2:
        return None
    if all(re.sub(r"^\d+[\s_-]+|[\s_-]*\d+$", "", name) in VIEWS for name in names):
        return "views or parts of a collection"
    if all(_SHARD.fullmatch(name) for name in names):
        return "shards"
    width = len(names[0])
    if not all(len(name) == width for name in names):
        return None
    # Zero-padded numbers from 0 on: numbers of classes often begin with 1, or are not padded.
    numbers = [f"{number:0{width}d}" for number in range(len(names))]
    if width > 1 and len(names) < 10**width and sorted(names) == numbers:
        return "shards"
    is_hexadecimal = width <= 2 and len(names) == 16**width
    return "shards" if is_hexadecimal and set(names) == {f"{code:0{width}x}" for code in range(16**width)} else None


def _similar_groups(names: Sequence[str]) -> list[list[str]]:
    """Join the pairs of similar names to groups."""
    pairs = [pair for pair in similar_names(names) if not PLACEHOLDERS.intersection((names[pair[0]], names[pair[1]]))]
    if not pairs:
        return []
    sets = DisjointSets(len(names))
    ones, others = np.array(pairs, dtype=np.int64).T
    sets.join(ones, others)
    return [[names[number] for number in group] for group in sets.groups()]


def _repeated_folders(table: ImageTable, classes: _Classes) -> list[Finding]:
    """Find classes that are the last of several folders of one name: `sku0/front/1.jpg` and `sku1/front/1.jpg`."""
    parents: dict[tuple[int, int], set[str]] = {}
    for image_id, split, code in zip(table.image_ids, table.split_codes.tolist(), table.class_codes.tolist()):
        folder, _, last = image_id.rpartition("/")[0].rpartition("/")
        if last and last == table.class_names[code]:
            parents.setdefault((split, code), set()).add(folder)
    repeated = sorted({code for (_, code), folders in parents.items() if len(folders) > 1})
    if not repeated:
        return []
    folders = sorted({folder for (_, code), found in parents.items() if code in set(repeated) for folder in found})
    detail = f"{len(repeated)} of {len(table.class_names)} class folders are in several of {len(folders)} folders ("
    named = name_some([repr(folder or ".") for folder in folders])
    return [Finding("repeated_class_folder", f"{detail}{named}): {classes.describe(repeated)}")]


class _Classes:
    """The images of each class.

    Args:
        table: The images.
    """

    def __init__(self, table: ImageTable) -> None:
        self._table = table
        self._order = np.argsort(table.class_codes, kind="stable")
        self._starts = np.searchsorted(table.class_codes[self._order], np.arange(len(table.class_names) + 1))

    def numbers(self, code: int) -> list[int]:
        """Return the numbers of the images of a class, ascending."""
        found: list[int] = self._order[self._starts[code] : self._starts[code + 1]].tolist()
        return found

    def images(self, codes: Sequence[int]) -> tuple[ImageRef, ...]:
        """Return the images of some classes: first one of each class, which the page shows, and then the others."""
        numbers = [self.numbers(code) for code in codes]
        first = [found[0] for found in numbers]
        rest = [number for found in numbers for number in found[1:]]
        return tuple(self._table[number] for number in [*first, *rest])

    def describe(self, codes: Sequence[int]) -> str:
        """Return the names of some classes with the number of their images; of many, the first."""
        names = [self._table.class_names[code] for code in codes[:MAX_NAMED]]
        forms = [unicodedata.normalize("NFKC", _INVISIBLE.sub("", name)) for name in names]
        named = []
        for name, form, code in zip(names, forms, codes):
            # Names that look the same are written with the codes of their characters.
            quoted = ascii(name) if forms.count(form) > 1 else repr(name)
            count = len(self.numbers(code))
            named.append(f"{quoted} ({count:,} image{'s' * (count != 1)})")
        return name_some([*named, *codes[MAX_NAMED:]])
