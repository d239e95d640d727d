"""Choose the splits of a source to train on and to test on."""

from __future__ import annotations

import logging
from collections.abc import Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..schema import SPLITS, column_values, name_some
from .left_out import LeftOut, Reason, report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from datasets import Dataset

logger = logging.getLogger(__name__)
Rows = TypeVar("Rows")

# What a split is for, by its name in lower case. Each role has to be there once, or the user is asked.
ROLES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "test",
    "valid": "test",
    "validation": "test",
    "dev": "test",
    "eval": "test",
    "query": "query",
    "gallery": "gallery",
    "base": "gallery",
    "index": "gallery",
}
SPLIT_COLUMN = "split"
UNUSED = Reason("images of splits that are not used: name others with --train_split, --test_split and the like")
_ASK = "train_split and test_split, or query_split and gallery_split (on the command line --train_split NAME ...)"


def find_role(name: str) -> str | None:
    """Return what a split of this name is for, `"train"`, `"test"`, `"query"` or `"gallery"`, or `None`."""
    return ROLES.get(name.strip().lower())


@dataclass(frozen=True)
class SplitNames:
    """The names that the source has for the splits; `None` for a split that is known by its name, or for none.

    Known names, in upper or lower case: train, training; test, testing, val, valid, validation, dev, eval; query; and
    gallery, base, index. They are taken, and the log says so, where they are train and test, or train, query and
    gallery, each once.

    Args:
        train: The split to train on.
        test: The split to test on.
        query: Instead of `test`, together with `gallery`: the split of the queries.
        gallery: The split that is searched.
        everything: Whether all splits are trained on, so that their names do not matter.

    Raises:
        ValueError: `query` comes without `gallery`, or with `test`.
    """

    train: str | None = None
    test: str | None = None
    query: str | None = None
    gallery: str | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        if (self.query is None) != (self.gallery is None) or (self.test and self.query):
            raise ValueError(
                f"expected test_split, or query_split and gallery_split; got {self.test!r}, {self.query!r}, "
                f"{self.gallery!r}"
            )

    @property
    def given(self) -> dict[str, str]:
        """The role of each split that has been named, to its name."""
        named = {"train": self.train, "test": self.test, "query": self.query, "gallery": self.gallery}
        return {role: name for role, name in named.items() if name is not None}

    def choose(self, found: Mapping[str, Rows], source: str) -> dict[str, Rows]:
        """Select the named splits, or those that have known names, and rename them to the names of the schema.

        What is taken by another name than that of the schema, and what is left out, is a warning in the log.

        Args:
            found: Name of each split of the source to its rows.
            source: The origin of the splits, for the errors.

        Returns:
            `train` alone, `train` and `test`, or `train`, `query` and `gallery`, to their rows. With `everything`:
            `train` first, and each other split by the name of the source.

        Raises:
            ValueError: A named split does not exist; or the source has splits that are no known pair, and none is
                named.
        """
        if self.everything and not self.given:
            order = ["train", "test", "query", "gallery", None]
            first, *others = sorted(found, key=lambda name: order.index(find_role(name)))
            return {"train": found[first], **{name: found[name] for name in others}}
        sizes = {name: len(rows) if isinstance(rows, Sized) else None for name, rows in found.items()}
        chosen = self.resolve(sizes, source)
        taken = [f"{name} as {role}" for role, name in chosen.items() if name != role and role not in self.given]
        if taken:
            logger.warning("%s: took %s by name; --train_split and the like name others", source, ", ".join(taken))
        unused = [name for name in sizes if name not in chosen.values()]
        _report_unused({name: sizes[name] for name in unused}, source)
        return {role: found[name] for role, name in chosen.items()}

    def resolve(self, sizes: Mapping[str, int | None], source: str) -> dict[str, str]:
        """Return the name of the split for each role.

        Args:
            sizes: Name of each split of the source to its number of images, or to `None` if that is not known.
            source: The origin of the splits, for the errors.

        Returns:
            Each role of one of `SPLITS`, `train` first, to the name of its split.

        Raises:
            ValueError: As by `choose`.
        """
        given = self.given
        absent = [name for name in given.values() if name not in sizes]
        if absent:
            raise ValueError(f"{source}: no split {', '.join(map(repr, absent))}; it has {name_some(list(sizes))}")
        rest = [name for name in sizes if name not in given.values()]
        known: dict[str, list[str]] = {}
        for name in rest:
            role = find_role(name)
            if role:
                known.setdefault(role, []).append(name)
        if self.test or self.query:
            if "train" not in given and len(known.get("train", [])) != 1:
                raise ValueError(
                    f"{source}: no split 'train'; it has {name_some(list(sizes))}: say with train_split (--train_split "
                    "NAME) which to train on"
                )
            return {"train": given.get("train") or known["train"][0], **given}
        roles = {role: names[0] for role, names in known.items()} | given
        if len(roles) == len(sizes):
            for names in SPLITS:
                if set(roles) == set(names):
                    return {role: roles[role] for role in names}
        listed = name_some([_sized(name, size) for name, size in sizes.items()])
        if len(sizes) == 2 and set(roles) == {"query", "gallery"}:
            raise ValueError(
                f"{source}: has the splits {listed}, and none to train on. Say which to train on with train_split: "
                f"train_split={roles['gallery']!r}, test_split={roles['query']!r} trains on the first and searches "
                "the second in itself; or add a split train (on the command line --train_split NAME)"
            )
        raise ValueError(f"{source}: has the splits {listed}; say which to use with {_ASK}")


def _report_unused(sizes: Mapping[str, int | None], source: str) -> None:
    """Report the rows of splits that are left out; in the log alone if their numbers are not known."""
    if None in sizes.values():
        logger.warning("%s: left out the splits %s, which no option names", source, name_some(list(sizes)))
        return
    left_out = LeftOut()
    for name, size in sizes.items():
        for row in range(size or 0):
            left_out.add(UNUSED, f"{name}, row {row}")
    report(left_out, source, logger)


def split_rows(dataset: Dataset, label_column: str, source: str) -> dict[str, Dataset]:
    """Divide a table by its column `split`, if it has one.

    Args:
        dataset: The rows of the table.
        label_column: Column of the classes; if that is `split`, it names no splits.
        source: The origin of the table, for the errors.

    Returns:
        Each value of the column to its rows, in their order, without the column; `train` alone if there is no such
        column. `SplitNames.choose` takes the values as names of splits.

    Raises:
        ValueError: The column is no text, or it is empty in a row.
    """
    from datasets import ClassLabel, Value

    if SPLIT_COLUMN not in dataset.column_names or label_column == SPLIT_COLUMN:
        return {"train": dataset}
    feature, values = dataset.features[SPLIT_COLUMN], column_values(dataset, SPLIT_COLUMN)
    if isinstance(feature, ClassLabel):
        values = [None if value is None or value < 0 else feature.int2str(value) for value in values]
    elif feature not in (Value("string"), Value("large_string")):
        raise ValueError(
            f"{source}: column {SPLIT_COLUMN!r} is {getattr(feature, 'dtype', feature)}; expected text, the name of "
            "the split of each row, such as train and test. Convert it, or rename the column if it is something else"
        )
    rows: dict[str, list[int]] = {}
    empty = []
    for row, value in enumerate(values):
        if not value:
            empty.append(row)
        else:
            rows.setdefault(value, []).append(row)
    if empty:
        raise ValueError(
            f"{source}: column {SPLIT_COLUMN!r} is empty in {len(empty)} of {len(values)} rows: {name_some(empty)}. "
            "Give each row a split, drop those rows, or rename the column if it is something else"
        )
    rest = dataset.remove_columns([SPLIT_COLUMN])
    found = {value: rest.select(chosen) for value, chosen in rows.items()}
    if found:
        parts = ", ".join(_sized(value, len(part)) for value, part in found.items())
        logger.warning("%s: the column %r divides the rows: %s", source, SPLIT_COLUMN, parts)
    return found or {"train": rest}


def _sized(name: str, size: int | None) -> str:
    return name if size is None else f"{name} ({size} images)"
