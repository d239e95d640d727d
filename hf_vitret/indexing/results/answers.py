"""What a search found, for people and programs: one answer a query, with ids, scores and metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from ..image_index import ImageIndex

PATH_COLUMN = "path"
_WIDEST = 60  # characters of a cell in a terminal


@dataclass(frozen=True)
class Hit:
    """An image that was found.

    Attributes:
        rank: From 1.
        image_id: Its id.
        score: Higher is better.
        path: Relative to the folder of the images; None where nobody noted it.
        metadata: The other columns of the index.
        position: The image's row in the index, from 0.
    """

    rank: int
    image_id: str | int
    score: float
    path: str | None
    metadata: Mapping[str, Any]
    position: int


@dataclass(frozen=True)
class Answer:
    """What one query found: best first, empty where nothing matches.

    Attributes:
        query: Its name, as a file's.
        hits: The images.
    """

    query: str
    hits: tuple[Hit, ...]


def collect_answers(index: ImageIndex, names: Sequence[str], scores: np.ndarray, positions: np.ndarray) -> list[Answer]:
    """Look up what was found.

    Args:
        index: That was searched.
        names: One a query.
        scores: `(num_queries, k)` float32, from `ImageIndex.search_positions`.
        positions: `(num_queries, k)` int64, from the same; -1 for none.
    """
    answers = []
    for name, row_scores, row_positions in zip(names, scores, positions, strict=True):
        found = row_positions >= 0
        own_positions = row_positions[found].tolist()
        rows = index.records.rows(own_positions)
        hits = []
        own_scores = row_scores[found].tolist()
        for rank, (row, score, position) in enumerate(zip(rows, own_scores, own_positions, strict=True), start=1):
            image_id, path = row.pop("image_id"), row.pop(PATH_COLUMN, None)
            hits.append(Hit(rank, image_id, score, path, row, position))
        answers.append(Answer(name, tuple(hits)))
    return answers


def format_answers(answers: Sequence[Answer]) -> str:
    """Lay the answers out as one table a query."""
    return "\n\n".join("\n".join([answer.query, *_table(answer)]) for answer in answers)


def _table(answer: Answer) -> list[str]:
    if not answer.hits:
        return ["  no match"]
    columns = list(answer.hits[0].metadata)
    rows = [["rank", "score", "image_id", *columns]]
    rows += [
        [
            str(hit.rank),
            f"{hit.score:.4f}",
            *(_cell(value) for value in (hit.image_id, *(hit.metadata[name] for name in columns))),
        ]
        for hit in answer.hits
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  "
        + "  ".join(
            f"{text:>{width}}" if place < 2 else f"{text:{width}}"
            for place, (text, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]


def _cell(value: Any) -> str:
    """Write a value in one line that no terminal takes for a command."""
    text = "".join(letter if letter.isprintable() else "?" for letter in str("" if value is None else value))
    return text if len(text) <= _WIDEST else "…" + text[1 - _WIDEST :]
