"""Grades from shared labels and from pairs, against loops over all pairs."""

import math

import numpy as np
import pytest
import torch

from hf_vitret.evaluation.metrics import relevance as module
from hf_vitret.evaluation.metrics.relevance import GradedPairs, SharedLabels


def drawn_labels(num_images, num_labels, seed):
    generator = np.random.default_rng(seed)
    return [generator.integers(0, num_labels, size=generator.integers(0, 5)).tolist() for _ in range(num_images)]


@pytest.mark.parametrize("max_shared", [1_000_000, 3])
@pytest.mark.parametrize("kind", [int, str, lambda label: 2**62 + label])
def test_the_grade_is_the_number_of_labels_that_both_have(monkeypatch, kind, max_shared):
    monkeypatch.setattr(module, "_MAX_SHARED", max_shared)
    queries, gallery = ([[kind(label) for label in each] for each in drawn_labels(20, 6, seed)] for seed in (0, 1))
    expected = [[float(len(set(query) & set(image))) for image in gallery] for query in queries]
    relevance = SharedLabels(queries, gallery)
    assert (relevance.num_queries, relevance.num_gallery) == (20, 20)
    assert relevance.rows(0, 20).tolist() == expected
    assert relevance.rows(7, 9).tolist() == expected[7:9]
    alone = SharedLabels([torch.tensor(each, dtype=torch.int64) if kind is int else each for each in queries])
    assert alone.rows(0, 20).tolist() == [
        [float(len(set(query) & set(image))) for image in queries] for query in queries
    ]


def test_images_without_labels_share_none():
    assert SharedLabels([[], []]).rows(0, 2).tolist() == [[0, 0], [0, 0]]
    assert SharedLabels([["a"]], [[], ["b"]]).rows(0, 1).tolist() == [[0, 0]]


def test_grades_of_pairs_come_from_any_order():
    relevance = GradedPairs(torch.tensor([[2, 0], [0, 1], [2, 1]]), [0.1, 3.0, 0.0], num_queries=3, num_gallery=2)
    assert relevance.rows(0, 3).tolist() == [[0, 3.0], [0, 0], [0.1, 0]]
    assert relevance.rows(2, 3).tolist() == [[0.1, 0]]
    assert GradedPairs([], [], 2, 2).rows(0, 2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("pairs", "grades", "error", "message"),
    [
        ([(0, 0), (1, 1), (0, 0)], [1, 2, 3], ValueError, r"each pair once, got \(0, 0\) twice"),
        ([(0, 2)], [1], ValueError, r"rows of the 2 queries and the 2 gallery images, got \(0, 2\)"),
        ([(-1, 0)], [1], ValueError, r"got \(-1, 0\)"),
        ([(0, 0)], [-0.5], ValueError, "finite and at least 0, got -0.5"),
        ([(0, 0)], [math.inf], ValueError, "finite and at least 0, got inf"),
        ([(0, 0)], [1, 2], ValueError, r"one for each of the 1 pairs, got shape \(2,\)"),
        ([(0.0, 0.0)], [1], TypeError, "whole numbers, got torch.float32"),
        ([(0, 0, 0)], [1], ValueError, r"\(num_pairs, 2\), a query's row and a gallery row, got \(1, 3\)"),
    ],
)
def test_wrong_grades_are_named(pairs, grades, error, message):
    with pytest.raises(error, match=message):
        GradedPairs(pairs, grades, num_queries=2, num_gallery=2)


@pytest.mark.parametrize("labels", [["cup", "mug"], [1, 2]])
def test_one_label_in_place_of_a_collection_is_refused(labels):
    with pytest.raises(TypeError, match=r"collection for each image, got .*Write \["):
        SharedLabels(labels)
    with pytest.raises(TypeError, match="labels must be integers or strings"):
        SharedLabels([[1.0], [2.0]])
