"""`Answer` and `Hit`: the results of a search, with ids, scores and metadata, and their text for a terminal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from ..image_index import ImageIndex

PATH_COLUMN = "path"
_WIDEST = 60  # characters of a table cell in a terminal


@dataclass(frozen=True)
class Hit:
    """An image that a search found.

    Attributes:
        rank: Rank, from 1.
        image_id: Id of the image.
        score: Score; higher is better.
        path: Path relative to the folder of the images; None if the index has no paths.
        metadata: Values of the other columns of the index.
        position: Position of the image in the index, from 0.
    """

    rank: int
    image_id: str | int
    score: float
    path: str | None
    metadata: Mapping[str, Any]
    position: int


@dataclass(frozen=True)
class Answer:
    """The images that were found for one query.

    Attributes:
        query: Name of the query, such as its file name.
        hits: The images, best first; empty if none matches.
    """

    query: str
    hits: tuple[Hit, ...]


def collect_answers(index: ImageIndex, names: Sequence[str], scores: np.ndarray, positions: np.ndarray) -> list[Answer]:
    """Look up the ids and the metadata of the images that a search found.

    Args:
        index: The index that was searched.
        names: Names of the queries.
        scores: `(num_queries, k)` float32, from `ImageIndex.search_positions`.
        positions: `(num_queries, k)` int64, from `ImageIndex.search_positions`; -1 for no image.

    Returns:
        One answer per query.
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
    """Return the answers as text, with one table per query."""
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
            f"{text:>{width}}" if column < 2 else f"{text:{width}}"
            for column, (text, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]


def _cell(value: Any) -> str:
    """Return a value as one line of text without control characters, which a terminal could take for a command."""
    text = "".join(letter if letter.isprintable() else "?" for letter in str("" if value is None else value))
    return text if len(text) <= _WIDEST else "…" + text[1 - _WIDEST :]
