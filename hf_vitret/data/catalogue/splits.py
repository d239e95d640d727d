"""Choose the splits of a source to train on and to test on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..schema import SPLITS

if TYPE_CHECKING:
    from collections.abc import Mapping

Rows = TypeVar("Rows")


@dataclass(frozen=True)
class SplitNames:
    """The names that the source has for the splits; `None` for a split with the name of the schema, or for none.

    Args:
        train: The split to train on.
        test: The split to test on.
        query: Instead of `test`, together with `gallery`: the split of the queries.
        gallery: The split that is searched.

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
                f"expected test_split, or query_split and gallery_split; got {self.test!r}, {self.query!r}, "
                f"{self.gallery!r}"
            )

    def choose(self, found: Mapping[str, Rows], source: str) -> dict[str, Rows]:
        """Select the named splits, or those that have the names of the schema, and rename them to these.

        Args:
            found: Name of each split of the source to its rows.
            source: The origin of the splits, for the errors.

        Returns:
            `train` alone, `train` and `test`, or `train`, `query` and `gallery`, to their rows.

        Raises:
            ValueError: A named split does not exist; or the source has splits with other names, and none is named.
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
