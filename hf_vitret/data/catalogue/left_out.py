"""`LeftOut`: the files of a source that are not used, counted by reason, and `collecting`, which gathers them."""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping, Sequence

MAX_NAMES = 10  # names that are kept for each reason
_SHOWN = 5  # names in one line of text


@dataclass(frozen=True)
class Reason:
    """Why files are not used.

    Attributes:
        text: What the files are, as a plural noun; after a colon, what the user can do.
        is_image: Whether such a file looks like an image by its name or content, so that it is probably missed.
        is_folder: Whether folders are counted, and not files.
    """

    text: str
    is_image: bool = False
    is_folder: bool = False


@dataclass
class LeftOut:
    """Files that are not used, by reason.

    Attributes:
        counts: Number of files for each reason, in the order in which the reasons first occurred.
        names: The first `MAX_NAMES` names for each reason.
    """

    counts: dict[Reason, int] = field(default_factory=dict)
    names: dict[Reason, list[str]] = field(default_factory=dict)

    def add(self, reason: Reason, name: str) -> None:
        """Count one file.

        Args:
            reason: Why it is not used.
            name: Its path, relative to the source.
        """
        self.counts[reason] = self.counts.get(reason, 0) + 1
        names = self.names.setdefault(reason, [])
        if len(names) < MAX_NAMES:
            names.append(name.encode("utf-8", "backslashreplace").decode())  # a name may be no UTF-8

    def merge(self, other: LeftOut, prefix: str = "") -> None:
        """Add the counts and names of another object.

        Args:
            other: The other object, which is not changed.
            prefix: Text that is put before each of its names, such as the name of its folder and a slash.
        """
        for reason, count in other.counts.items():
            self.counts[reason] = self.counts.get(reason, 0) + count
            names = self.names.setdefault(reason, [])
            names += [prefix + name for name in other.names[reason]][: MAX_NAMES - len(names)]

    def clear(self) -> None:
        """Remove all counts and names."""
        self.counts.clear()
        self.names.clear()

    @property
    def num_files(self) -> int:
        """Number of files, without folders."""
        return sum(count for reason, count in self.counts.items() if not reason.is_folder)

    @property
    def has_images(self) -> bool:
        """Whether files or folders are left out that look like images, or may hold some."""
        return any(reason.is_image for reason in self.counts)

    def only_images(self) -> LeftOut:
        """Return the part that looks like images."""
        chosen = [reason for reason in self.counts if reason.is_image]
        return LeftOut({one: self.counts[one] for one in chosen}, {one: list(self.names[one]) for one in chosen})

    def lines(self) -> list[str]:
        """Describe each reason in one line: the number, the reason and the first names. Images come first."""
        return describe_left_out(self.to_json())

    def to_json(self) -> list[dict[str, Any]]:
        """Return one object for each reason: `reason`, `is_image`, `is_folder`, `count` and `names` (the first ones).

        What looks like images comes first.
        """
        return [
            {
                "reason": one.text,
                "is_image": one.is_image,
                "is_folder": one.is_folder,
                "count": count,
                "names": self.names[one],
            }
            for one, count in sorted(self.counts.items(), key=lambda item: not item[0].is_image)
        ]

    @classmethod
    def from_json(cls, rows: Sequence[Mapping[str, Any]]) -> LeftOut:
        """Return the object that `to_json` wrote."""
        found = cls()
        for row in rows:
            reason = Reason(row["reason"], row["is_image"], row["is_folder"])
            found.counts[reason], found.names[reason] = row["count"], list(row["names"])
        return found


_collector: ContextVar[LeftOut | None] = ContextVar("left_out", default=None)


@contextmanager
def collecting() -> Iterator[LeftOut]:
    """Collect what the loaders leave out inside a `with` block.

    Blocks can be nested: an outer block gets what the inner one collected, too. What another thread loads is not
    collected.

    Yields:
        The object that is filled.

    Example:
        >>> with collecting() as left_out:  # doctest: +SKIP
        ...     dataset = load_retrieval_dataset("catalogue", "photos")
        >>> left_out.num_files  # doctest: +SKIP
        3
    """
    outer, found = _collector.get(), LeftOut()
    token = _collector.set(found)
    try:
        yield found
    finally:
        _collector.reset(token)
        if outer is not None:
            outer.merge(found)


def report(left_out: LeftOut, source: str, logger: logging.Logger, prefix: str = "") -> None:
    """Log what a loader leaves out, one line for each reason, and hand it to the block of `collecting`.

    Args:
        left_out: What is left out.
        source: The origin of the files, for the log.
        logger: The logger of the loader.
        prefix: Text that is put before each name for the collector.
    """
    for line in left_out.lines():
        logger.warning("%s: left out %s", source, line)
    collector = _collector.get()
    if collector is not None:
        collector.merge(left_out, prefix)


def describe_left_out(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Describe each row of `LeftOut.to_json` in one line: the number, the reason and the first names."""
    lines = []
    for row in rows:
        names, more = row["names"][:_SHOWN], row["count"] - min(len(row["names"]), _SHOWN)
        shown = ", ".join(names) + (f" and {more:,} more" if more else "")
        text, _, mend = row["reason"].partition(": ")
        lines.append(f"{row['count']:,} {text}: {shown}{f'; {mend}' if mend else ''}")
    return lines
