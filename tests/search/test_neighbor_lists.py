"""Checks of neighbour lists: valid lists pass, and the error for an invalid list names its row."""

import doctest

import pytest
import torch

from hf_vitret.search import neighbor_lists
from hf_vitret.search.neighbor_lists import check_neighbor_lists, check_without_self, without_self

GALLERY = torch.eye(4)
QUERIES = GALLERY[:2]
SCORES = torch.tensor([[0.9, 0.9, 0.1], [0.5, 0.2, 0.0]])
INDICES = torch.tensor([[3, 0, 1], [2, 1, -1]])


def changed(values: torch.Tensor, row: list[float]) -> torch.Tensor:
    return torch.stack([values[0], torch.tensor(row, dtype=values.dtype)])


@pytest.mark.parametrize("at_once", [1, 4_000_000])
@pytest.mark.parametrize("filler", [0.0, 1.0, -3.4e38, -torch.inf, torch.nan])
def test_scores_of_padded_entries_are_not_read(filler: float, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbor_lists, "_ENTRIES", at_once)
    check_neighbor_lists(QUERIES, GALLERY, changed(SCORES, [0.5, 0.2, filler]), INDICES)
    check_neighbor_lists(QUERIES, GALLERY, SCORES.new_empty(2, 0), INDICES.new_empty(2, 0))


@pytest.mark.parametrize("at_once", [1, 4_000_000])
@pytest.mark.parametrize(
    ("scores", "indices", "message"),
    [
        (
            [0.5, 0.6, 0.0],
            [2, 1, -1],
            r"that descend along a row \(if they are distances, change their sign\); row 1 has",
        ),
        ([0.5, torch.nan, 0.0], [2, 1, -1], r"finite scores; row 1 has scores \[0\.5, nan, 0\], indices \[2, 1, -1\]"),
        ([torch.inf, 0.5, 0.0], [2, 1, -1], "finite scores; row 1"),
        ([0.5, 0.2, 0.1], [2, -1, 1], "indices with -1 only at the end of a row; row 1"),
        ([0.5, 0.2, 0.1], [2, 1, 2], "indices that are distinct within a row; row 1"),
        ([0.5, 0.2, 0.1], [2, 1, 4], "indices from -1 to 3, rows of the gallery; got 0 to 4"),
        ([0.5, 0.2, 0.1], [2, 1, -2], "indices from -1 to 3, rows of the gallery; got -2 to 3"),
    ],
)
def test_a_broken_row_is_named(
    scores: list[float], indices: list[float], message: str, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbor_lists, "_ENTRIES", at_once)
    with pytest.raises(ValueError, match=message):
        check_neighbor_lists(QUERIES, GALLERY, changed(SCORES, scores), changed(INDICES, indices))


def test_other_types_are_refused() -> None:
    with pytest.raises(
        TypeError, match=r"graph_indices as a tensor; got ndarray: convert an array by torch\.from_numpy"
    ):
        check_neighbor_lists(QUERIES, GALLERY, SCORES, INDICES.numpy(), prefix="graph_")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"scores of floats and indices of int64; got torch\.float32 and torch\.int32"):
        check_neighbor_lists(QUERIES, GALLERY, SCORES, INDICES.int())
    with pytest.raises(ValueError, match=r"on cpu, where the embeddings are; got cpu and meta: move them"):
        check_neighbor_lists(QUERIES, GALLERY, SCORES, INDICES.to("meta"))


@pytest.mark.parametrize("at_once", [1, 4_000_000])
def test_an_item_is_removed_from_its_own_list(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbor_lists, "_ENTRIES", at_once)
    scores = torch.tensor([[1.0, 0.9, 0.8], [1.0, 1.0, 0.7], [0.6, 0.5, 0.4]])
    indices = torch.tensor([[0, 1, 2], [2, 1, 0], [0, 1, -1]])  # the item is first, after a duplicate, not in its list
    with pytest.raises(ValueError, match="row 0 lists itself"):
        check_without_self(indices)
    left_scores, left = without_self(scores, indices)
    assert left.tolist() == [[1, 2], [2, 0], [0, 1]]
    torch.testing.assert_close(left_scores, torch.tensor([[0.9, 0.8], [1.0, 0.7], [0.6, 0.5]]))
    check_without_self(left)
    with pytest.raises(ValueError, match=r"k at least 1; got \(3, 0\) and \(3, 0\)"):
        without_self(scores[:, :0], indices[:, :0])


def test_examples() -> None:
    result = doctest.testmod(neighbor_lists)
    assert (result.attempted, result.failed) == (1, 0)
