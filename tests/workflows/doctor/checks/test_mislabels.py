"""The votes of nearest neighbours agree with a naive count."""

from collections import Counter

import numpy as np
from datasets import DatasetDict
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_vitret.workflows.doctor.checks.image_table import ImageTable
from hf_vitret.workflows.doctor.checks.mislabels import find_mislabels, group_similar

from ..pictures import make_split


def table_of(labels):
    names = [str(label) for label in range(max(labels) + 1)]
    rows = [(b"", label, f"id{row}") for row, label in enumerate(labels)]
    return ImageTable(DatasetDict(train=make_split(rows, names)))


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(3, 6))
def test_suspects_are_those_of_a_naive_count(seed, num_images, k):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, num_images).tolist()
    neighbors = np.full((num_images, k), -1)
    scores = np.full((num_images, k), -np.inf, dtype=np.float32)
    for row in range(num_images):
        others = generator.permutation([other for other in range(num_images) if other != row])[:k]
        neighbors[row, : len(others)] = others
        scores[row, : len(others)] = np.sort(generator.random(len(others)))[::-1]
    expected = []
    for row in range(num_images):
        found = [int(other) for other in neighbors[row] if other >= 0]
        votes = Counter(labels[other] for other in found)
        for label, count in votes.items():
            is_majority = label != labels[row] and count > len(found) / 2
            if is_majority and labels[found[0]] != labels[row] and labels.count(labels[row]) > 1:
                cosine = np.mean([scores[row, rank] for rank, other in enumerate(found) if labels[other] == label])
                own = sum(labels[other] == labels[row] for other in found)
                expected.append((own, -count, -cosine, row, label, found))
    expected.sort()
    result = find_mislabels(table_of(labels), np.arange(num_images), scores, neighbors)
    assert [finding.images[0].row for finding in result] == [row for _, _, _, row, _, _ in expected]
    for finding, (own, count, cosine, row, label, found) in zip(result, expected):
        assert [image.row for image in finding.neighbors] == found
        assert finding.detail == (
            f"labelled {labels[row]}; {-count} of the {len(found)} nearest images are of class {label} "
            f"(cosine {-cosine:.2f}), {own or 'none'} of its own"
        )


def test_neighbors_that_are_not_there_do_not_vote():
    """Each of three images has two neighbours and four empty entries."""
    neighbors = np.array([[2, 1, -1, -1, -1, -1], [2, 0, -1, -1, -1, -1], [0, 1, -1, -1, -1, -1]])
    scores = np.where(neighbors < 0, -np.inf, 0.5).astype(np.float32)
    assert find_mislabels(table_of([0, 0, 1]), np.arange(3), scores, neighbors) == []


def test_numbers_need_not_be_all():
    """Image 1 was not embedded, so that the rows differ from the numbers of the images."""
    labels = [0, 0, 1, 1, 1, 0]
    numbers = np.array([0, 2, 3, 4, 5])
    neighbors = np.array([[2, 3, 4], [3, 4, 5], [2, 4, 5], [2, 3, 5], [0, 2, -1]])
    scores = np.full((5, 3), 0.5, dtype=np.float32)
    result = find_mislabels(table_of(labels), numbers, scores, neighbors)
    assert [(finding.images[0].row, [image.row for image in finding.neighbors]) for finding in result] == [
        (0, [2, 3, 4])
    ]


def test_similar_images_are_grouped_by_chains():
    numbers = np.array([1, 3, 4, 6])
    neighbors = np.array([[3, 4], [4, 1], [3, 6], [4, -1]])
    scores = np.array([[0.9, 0.5], [0.99, 0.9], [0.99, 0.1], [0.1, -np.inf]])
    assert [group.tolist() for group in group_similar(8, numbers, scores, neighbors, 0.9)] == [[1, 3, 4]]
    assert [group.tolist() for group in group_similar(8, numbers, scores, neighbors, 0.95)] == [[3, 4]]
    assert group_similar(8, numbers, scores, neighbors, 1.0) == []
