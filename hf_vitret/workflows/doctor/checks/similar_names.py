"""Find pairs of class names that differ by one typing error, in time and memory linear in the number of names."""

from __future__ import annotations

import re
from array import array
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MIN_LENGTH = 8  # characters of a name; one letter of a shorter name is often the whole difference of two classes
MIN_WORD = 5  # letters of the word with the error, for the same reason: "size S" and "size M"
MAX_ALIKE = 10  # names that are equal but for one letter; if there are more, the letter distinguishes the classes
_WORD = re.compile(r"[^\W\d_]+")
_SEPARATOR = re.compile(r"[\s_.\-]")


def similar_names(names: Sequence[str]) -> list[tuple[int, int]]:
    """Find the pairs of names that differ by one letter or separator.

    It is left out, added, replaced or swapped with the next one. Names with other digits are never a pair, because a
    number often is the whole difference of two classes. A letter counts in words of at least `MIN_WORD` letters only.
    Two names of a pair have a common string that each of them gives when one character is removed; names are compared
    only where such strings are equal. Where more than `MAX_ALIKE` names have such a string in common, none of them are
    compared.

    The class names of the data set `icons` have 57 groups of such names. About half are one motif ("paperclip" and
    "paper-clip"), and the others are two ("file-lock" and "file-clock"), which is why the finding is a note.

    Args:
        names: Distinct names, folded in the way in which they should be compared.

    Returns:
        Pairs of indices of `names`, `(lower, higher)`, sorted.
    """
    hashes, numbers = array("q"), array("q")  # a hash of each name without one character, and the name
    for number, name in enumerate(names):
        if len(name) >= MIN_LENGTH:
            found = {hash(name), *map(hash, _deletions(name))}
            hashes.extend(found)
            numbers.extend([number] * len(found))
    return sorted(set(_similar_pairs(names, np.array(hashes, np.int64), np.array(numbers, np.int64))))


def _similar_pairs(names: Sequence[str], hashes: np.ndarray, numbers: np.ndarray) -> Iterator[tuple[int, int]]:
    """Yield the similar pairs among the names with equal hashes, which alone do not show it."""
    order = np.argsort(hashes, kind="stable")
    is_first = np.diff(hashes[order], prepend=0) != 0
    if len(is_first):
        is_first[0] = True
    starts = np.append(np.flatnonzero(is_first), len(order))
    sizes = np.diff(starts)
    for place in np.flatnonzero((sizes > 1) & (sizes <= MAX_ALIKE)).tolist():
        group = sorted(numbers[order[starts[place] : starts[place + 1]]].tolist())
        for one, other in combinations(group, 2):
            if _is_one_error(names[one], names[other]):
                yield one, other


def _deletions(name: str) -> Iterator[str]:
    """Yield the name without one character, for each character that may be an error."""
    for position in sorted(_error_positions(name)):
        yield name[:position] + name[position + 1 :]


def _error_positions(name: str) -> set[int]:
    """Return the positions of the separators and of the letters of long words."""
    # A word may have lost a letter, so that it is one shorter than its pair.
    words = (match for match in _WORD.finditer(name) if match.end() - match.start() >= MIN_WORD - 1)
    letters = {position for word in words for position in range(word.start(), word.end())}
    return letters | {match.start() for match in _SEPARATOR.finditer(name)}


def _is_one_error(one: str, other: str) -> bool:
    """Return whether one character was left out, added, replaced or swapped with the next one."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    first, second = one[start : len(one) - end], other[start : len(other) - end]
    is_swap = len(first) == 2 and first == second[::-1]
    if not (is_swap or max(len(first), len(second)) == 1) or any(character.isdigit() for character in first + second):
        return False
    if all(_SEPARATOR.fullmatch(character) for character in first + second):
        return True
    return max(_word_length(one, start), _word_length(other, start)) >= MIN_WORD


def _word_length(name: str, position: int) -> int:
    """Return the number of letters of the word at a position, or before it."""
    lengths = [word.end() - word.start() for word in _WORD.finditer(name) if word.start() <= position <= word.end()]
    return max(lengths, default=0)
