"""Which splits of a source are the ones to train on and to test on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..schema import SPLITS

if TYPE_CHECKING:
    from collections.abc import Mapping

Rows = TypeVar("Rows")


@dataclass(frozen=True)
class SplitNames:
    """What the user calls the splits; None where they have the schema's names, or are not there.

    Args:
        train: The split to train on.
        test: The split to test on.
        query: In place of `test`, with `gallery`: what is searched for.
        gallery: What is searched.

    Raises:
        ValueError: `query` comes without `gallery`, or with `test`.
    """

    train: str = "train"
    test: str | None = None
    query: str | None = None
    gallery: str | None = None

    def __post_init__(self) -> None:
        if (self.query is None) != (self.gallery is None) or (self.test and self.query):
            raise ValueError(
                f"name test_split, or query_split and gallery_split; got {self.test!r}, {self.query!r}, "
                f"{self.gallery!r}"
            )

    def choose(self, found: Mapping[str, Rows], source: str) -> dict[str, Rows]:
        """Give the source's splits the schema's names: those the user named, else those that have these names.

        Args:
            found: The source's splits.
            source: Where they come from, for the errors.

        Returns:
            `train` alone, with `test`, or with `query` and `gallery`.

        Raises:
            ValueError: A split is not there, or there are others and none is named.
        """
        if self.test:
            wanted = {"train": self.train, "test": self.test}
        elif self.query and self.gallery:
            wanted = {"train": self.train, "query": self.query, "gallery": self.gallery}
        else:
            rest = set(found) - {self.train}
            names = next((names for names in SPLITS if rest == set(names[1:])), ("train",))
            wanted = {"train": self.train, **{name: name for name in names[1:]}}
            if len(wanted) <= len(rest):
                raise ValueError(
                    f"{source}: has the splits {', '.join(found)}; say which to use with train_split and "
                    "test_split, or query_split and gallery_split"
                )
        absent = [split for split in wanted.values() if split not in found]
        if absent:
            raise ValueError(f"{source}: no split {', '.join(map(repr, absent))}; it has {', '.join(found)}")
        return {name: found[split] for name, split in wanted.items()}
