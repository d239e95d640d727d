"""Pictures of search results, checked pixel by pixel: the position of each image and the colour of its frame."""

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from hf_vitret import RetrievalEvaluator
from hf_vitret.evaluation.reporting.retrieval_strip import (
    FRAME,
    GAP,
    HEADER,
    HEADING,
    TILE,
    choose_shown,
    draw_retrieval_strip,
    drawn_queries,
)

GREEN, RED, WHITE = (0x1A, 0x7F, 0x37), (0xCF, 0x22, 0x2E), (255, 255, 255)
CELL = TILE + 2 * FRAME
LABELS = [0, 0, 1, 1, 2, 2]
NUM_COLUMNS = 3


def color(row: int) -> tuple[int, int, int]:
    """Return the colour that identifies an image."""
    return 40 * row, 10, 200 - 30 * row


def plain_images(labels: list[int], first: int = 0) -> Dataset:
    rows = range(first, first + len(labels))
    features = Features({"image": ImageFeature(), "label": ClassLabel(num_classes=3), "image_id": Value("string")})
    columns = {
        "image": [Image.new("RGB", (30, 30), color(row)) for row in rows],
        "label": labels,
        "image_id": [str(row) for row in rows],
    }
    return Dataset.from_dict(columns, features=features)


@pytest.fixture(scope="module")
def evaluator() -> RetrievalEvaluator:
    return RetrievalEvaluator(plain_images(LABELS))


def draw(
    evaluator: RetrievalEvaluator,
    models: list[tuple[torch.Tensor, torch.Tensor | None]],
    titles: list[str],
    num_queries: int = 8,
    num_neighbors: int = NUM_COLUMNS,
    seed: int = 0,
) -> Image.Image:
    """Draw the queries at random, search for them with each model, and return the picture."""
    rows = drawn_queries(evaluator, num_queries, seed)
    found = [evaluator.neighbors(rows, num_neighbors, *embeddings) for embeddings in models]
    return draw_retrieval_strip(evaluator, rows, found, titles)


@pytest.fixture(scope="module")
def models() -> list[tuple[torch.Tensor, None]]:
    """Return the embeddings of two models: one orders the images by class, the other at random."""
    generator = torch.Generator().manual_seed(0)
    by_class = torch.eye(6)[LABELS] + 0.1 * torch.randn(6, 6, generator=generator)
    noise = torch.randn(6, 6, generator=generator)
    return [(torch.nn.functional.normalize(table, dim=1), None) for table in (by_class, noise)]


def left_of(model: int, column: int) -> int:
    """Return the left edge of a tile: after the query column, each model has a block of columns."""
    block = NUM_COLUMNS * CELL + (NUM_COLUMNS - 1) * GAP
    return GAP + CELL + 3 * GAP + model * (block + 3 * GAP) + column * (CELL + GAP)


def tile_at(strip: Image.Image, left: int, line: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the colour of the frame, which must be the same on all four sides, and that of the middle of the tile."""
    top = HEADER + line * (CELL + GAP)
    cell = np.asarray(strip)[top : top + CELL, left : left + CELL]
    frame = np.ones((CELL, CELL), bool)
    frame[FRAME:-FRAME, FRAME:-FRAME] = False
    (edge,) = np.unique(cell[frame], axis=0)
    return tuple(edge.tolist()), tuple(cell[CELL // 2, CELL // 2].tolist())


def test_neighbours_are_drawn_nearest_first_in_frames_of_their_colour(
    evaluator: RetrievalEvaluator, models: list[tuple[torch.Tensor, None]]
) -> None:
    strip = draw(evaluator, models, ["one", "two"], num_queries=6)
    frames = set()
    for row in range(6):
        assert tile_at(strip, GAP, row)[1] == color(row)
        for model, (embeddings, _) in enumerate(models):
            scores = (embeddings @ embeddings[row]).tolist()
            others = sorted((other for other in range(6) if other != row), key=lambda other: -scores[other])
            for column, other in enumerate(others[:NUM_COLUMNS]):
                frame = GREEN if LABELS[other] == LABELS[row] else RED
                frames.add(frame)
                assert tile_at(strip, left_of(model, column), row) == (frame, color(other))
    assert frames == {GREEN, RED}


def test_an_image_of_the_gallery_that_is_the_query_is_not_shown() -> None:
    query = plain_images([0, 1])
    gallery = plain_images([1, 0, 0, 1], first=1)  # its first image has the id of the second query
    evaluator = RetrievalEvaluator(query, gallery)
    queries, vectors = torch.eye(2), torch.tensor([[0.0, 1.0], [0.6, 0.8], [0.8, 0.6], [0.9, 0.1]])
    strip = draw(evaluator, [(queries, vectors)], ["one"])
    shown = [[tile_at(strip, left_of(0, column), line) for column in range(NUM_COLUMNS)] for line in range(2)]
    assert shown[0] == [(RED, color(4)), (GREEN, color(3)), (GREEN, color(2))]
    assert shown[1] == [(RED, color(2)), (RED, color(3)), (GREEN, color(4))]


def test_a_small_gallery_leaves_columns_empty(evaluator: RetrievalEvaluator) -> None:
    few = RetrievalEvaluator(plain_images([0, 1]))
    strip = draw(few, [(torch.eye(2), None)], ["one"])
    assert strip.height == HEADER + 2 * (CELL + GAP)
    assert tile_at(strip, left_of(0, 0), 0) == (RED, color(1))
    assert (np.asarray(strip)[HEADER:, left_of(0, 1) :] == 255).all()


def test_titles_are_above_their_columns(evaluator: RetrievalEvaluator, models: list[tuple[torch.Tensor, None]]) -> None:
    strip, blank = (
        np.asarray(draw(evaluator, models, titles, num_queries=2))[:HEADER].astype(int)
        for titles in (["off the shelf", "trained"], ["", ""])
    )
    changed = np.flatnonzero((strip != blank).any(axis=(0, 2)))
    middle = left_of(1, 0)
    first, second = changed[changed < middle - GAP], changed[changed >= middle - GAP]
    assert abs(first.min() - left_of(0, 0)) <= 2
    assert abs(second.min() - middle) <= 2
    assert (blank[:, :CELL] != 255).any()  # the title "query" is there
    assert strip.min() < 80  # dark text on white


def test_the_draw_depends_on_the_seed_alone(
    evaluator: RetrievalEvaluator, models: list[tuple[torch.Tensor, None]]
) -> None:
    def picture(seed: int) -> bytes:
        return draw(evaluator, models, ["a", "b"], num_queries=3, seed=seed).tobytes()

    assert picture(0) == picture(0)
    assert len({picture(seed) for seed in range(6)}) > 1


def test_drawn_queries_are_ascending_each_once_and_of_all_the_set(evaluator: RetrievalEvaluator) -> None:
    draws = [drawn_queries(evaluator, 3, seed).tolist() for seed in range(20)]
    assert all(draw == sorted(set(draw)) and len(draw) == 3 for draw in draws)
    assert {row for draw in draws for row in draw} == set(range(6))
    assert drawn_queries(evaluator).tolist() == list(range(6))  # fewer images than requested


@pytest.mark.parametrize(
    ("found", "shapes"),
    [([], r"\[\]"), ([(3, 2)], r"\[\(3, 2\)\]"), ([(2, 5), (2, 4)], r"\[\(2, 4\), \(2, 5\)\]")],
)
def test_neighbours_of_other_queries_or_numbers_are_refused(
    evaluator: RetrievalEvaluator, found: list[tuple[int, int]], shapes: str
) -> None:
    neighbors = [torch.zeros(shape, dtype=torch.int64) for shape in found]
    with pytest.raises(ValueError, match=rf"\(2 queries, num_neighbors\) for each model, got {shapes}"):
        draw_retrieval_strip(evaluator, torch.tensor([0, 1]), neighbors, ["title"] * len(found))


def test_images_of_any_shape_and_mode_fit_their_tile() -> None:
    images = [Image.new("L", (300, 10), 0), Image.new("RGBA", (10, 300), (0, 0, 255, 0))]
    dataset = Dataset.from_dict(
        {"image": images, "label": [0, 0], "image_id": ["a", "b"]},
        features=Features({"image": ImageFeature(), "label": ClassLabel(num_classes=1), "image_id": Value("string")}),
    )
    strip = draw(RetrievalEvaluator(dataset), [(torch.eye(2), None)], ["any"], num_neighbors=1)
    wide, transparent = (tile_at(strip, GAP, line) for line in range(2))
    assert wide[1] == (0, 0, 0)
    assert transparent[1] == WHITE
    above_the_wide_one = strip.getpixel((GAP + CELL // 2, HEADER + FRAME + 5))
    assert above_the_wide_one == WHITE


def test_groups_are_drawn_under_their_headings(
    evaluator: RetrievalEvaluator, models: list[tuple[torch.Tensor, None]]
) -> None:
    rows = drawn_queries(evaluator)
    found = [evaluator.neighbors(rows, NUM_COLUMNS, *embeddings) for embeddings in models]
    plain = np.asarray(draw_retrieval_strip(evaluator, rows, found, ["a", "b"]))
    groups = {"random": torch.tensor([4, 0]), "none": torch.tensor([], dtype=torch.int64), "wrong": torch.tensor([3])}
    strip = np.asarray(draw_retrieval_strip(evaluator, rows, found, ["a", "b"], groups))
    line = CELL + GAP
    assert len(strip) == HEADER + 2 * HEADING + 3 * line
    tops = [HEADER + HEADING, HEADER + HEADING + line, HEADER + 2 * HEADING + 2 * line]
    for top, row in zip(tops, (4, 0, 3)):
        np.testing.assert_array_equal(strip[top : top + CELL], plain[HEADER + row * line :][:CELL])
    for top in (HEADER, HEADER + HEADING + 2 * line):
        assert strip[top : top + HEADING].min() < 80
    np.testing.assert_array_equal(strip[:HEADER], plain[:HEADER])


def test_failures_are_queries_whose_first_image_is_of_another_class() -> None:
    labels = [0, 0, 1, 1, 2] * 8
    evaluator = RetrievalEvaluator(plain_images(labels))
    rows = torch.arange(40)
    first = torch.tensor([(row + 5 * (row % 5 != 1) + (row % 5 == 1)) % 40 for row in range(40)])[:, None]
    wrong = {row for row in range(40) if labels[int(first[row])] != labels[row]}
    assert wrong == {row for row in range(40) if row % 5 == 1}
    seen: set[int] = set()
    for seed in range(30):
        random, failures, num_wrong = choose_shown(evaluator, rows, first, 5, 3, seed)
        assert (len(random), len(failures), num_wrong) == (5, 3, 8)
        assert not {*random.tolist()} & {*failures.tolist()}
        assert {*failures.tolist()} <= wrong
        assert random.tolist() == sorted(random.tolist())
        seen |= {*random.tolist()}
    assert seen == {*range(40)}  # the random queries include failures and others
    assert choose_shown(evaluator, rows, first)[0].tolist() == choose_shown(evaluator, rows, first)[0].tolist()
    # Positions are counted in the drawn rows, not in the data set.
    part = torch.tensor([1, 2, 6, 7])
    random, failures, num_wrong = choose_shown(evaluator, part, first[part], 0, 9)
    assert (random.tolist(), failures.tolist(), num_wrong) == ([], [0, 2], 2)


def test_a_query_without_a_positive_is_no_failure() -> None:
    alone = RetrievalEvaluator(plain_images([0, 0, 1]))
    first = torch.tensor([[2], [2], [0]])
    assert choose_shown(alone, torch.arange(3), first, 0)[1:][0].tolist() == [0, 1]
    query = plain_images([0, 1, 2, 0])  # the gallery has the second query itself, and no other image of its class
    gallery = plain_images([1, 0, 0], first=1)
    evaluator = RetrievalEvaluator(query, gallery)
    found = torch.tensor([[0], [1], [1], [-1]])
    random, failures, num_wrong = choose_shown(evaluator, torch.arange(4), found, 0)
    assert (random.tolist(), failures.tolist(), num_wrong) == ([], [0], 1)
