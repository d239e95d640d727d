"""Find duplicates and probably mislabelled images by the nearest neighbours of their embeddings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..findings import Finding
from .disjoint_sets import DisjointSets

if TYPE_CHECKING:
    import torch
    from torch import nn

    from .image_table import ImageTable


def find_neighbors(
    table: ImageTable, numbers: np.ndarray, model: nn.Module, k: int, *, batch_size: int = 64, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Embed images, and find the nearest other images of each among all splits.

    Args:
        table: The images.
        numbers: `(num,)` int64, ascending numbers of one or more images that can be decoded.
        model: A `ViTRetModel`.
        k: Number of neighbours of each image.
        batch_size: Number of images that are embedded at once.
        progress: Whether to show progress bars.

    Returns:
        scores: `(num, k)` float32 cosines, descending.
        neighbors: `(num, k)` int64, numbers of the neighbours in the table. If there are fewer than k other images, the
            remaining entries are -1, with score -inf.
    """
    import torch

    from ....inference.embed import embed_images
    from ....search.neighbors import nearest_neighbors

    parts: list[torch.Tensor] = [
        embed_images(model, split, batch_size=batch_size, progress=progress) for split in table.select(numbers)
    ]
    embeddings = torch.cat(parts)  # (num, dim), unit L2 norm
    ids = torch.arange(len(embeddings))
    scores, rows = nearest_neighbors(embeddings, embeddings, k, query_ids=ids, gallery_ids=ids)
    found: np.ndarray = np.where(rows.numpy() < 0, -1, numbers[rows.numpy()])
    return scores.numpy(), found


def group_similar(
    num_images: int, numbers: np.ndarray, scores: np.ndarray, neighbors: np.ndarray, min_cosine: float
) -> list[np.ndarray]:
    """Group images that are connected by nearest neighbours with a cosine of at least `min_cosine`.

    Args:
        num_images: Number of images in the table.
        numbers: `(num,)` int64, the number in the table of each row.
        scores: `(num, k)` float32 cosines of the neighbours, from `find_neighbors`.
        neighbors: `(num, k)` int64 numbers of the neighbours, from `find_neighbors`.
        min_cosine: The lowest cosine of a pair that is grouped.

    Returns:
        The groups of two or more images as ascending arrays of numbers.
    """
    sets = DisjointSets(num_images)
    rows, columns = np.nonzero(scores >= min_cosine)
    sets.join(numbers[rows], neighbors[rows, columns])
    return sets.groups()


def find_mislabels(table: ImageTable, numbers: np.ndarray, scores: np.ndarray, neighbors: np.ndarray) -> list[Finding]:
    """Find images whose nearest neighbours are mostly of one other class (a leave-one-out vote of k neighbours).

    Two kinds of images are never suspects. One is an image whose nearest neighbour is of its own class: in a class of
    two images the own class has only one vote, and all others may go to the most similar class. The other is the only
    image of a class, because no other image can vote for the class.

    Args:
        table: The images.
        numbers: `(num,)` int64, numbers of the images that were embedded.
        scores: `(num, k)` float32 cosines of the neighbours, from `find_neighbors`.
        neighbors: `(num, k)` int64 numbers of the neighbours, from `find_neighbors`.

    Returns:
        A finding for each suspect, with its neighbours. They are sorted by the number of votes for the own class,
        fewest first, then by the votes for the other class, most first, then by the mean cosine of the neighbours of
        that class, highest first. (Among 640 drawings with four planted errors, DINOv2-small finds 33 suspects; the
        four are among the 20 that have no vote for their own class.)
    """
    own = table.class_codes[numbers]  # (num,)
    exists = neighbors >= 0
    classes = np.where(exists, table.class_codes[neighbors], -1)  # (num, k)
    # (num, k), the number of votes for the class of each neighbour.
    votes = (classes[:, :, None] == classes[:, None, :]).sum(axis=2) * exists
    rows = np.arange(len(numbers))
    winner = votes.argmax(axis=1)
    other, num_votes = classes[rows, winner], votes[rows, winner]
    has_other_images = np.bincount(own, minlength=len(table.class_names))[own] > 1
    suspects = np.flatnonzero(
        (other != own) & (2 * num_votes > exists.sum(axis=1)) & (classes[:, 0] != own) & has_other_images
    )
    cosines = np.array([scores[row][classes[row] == other[row]].mean() for row in suspects])
    num_own = (classes[suspects] == own[suspects, None]).sum(axis=1)
    findings = []
    for index in np.lexsort([suspects, -cosines, -num_votes[suspects], num_own]):
        row = suspects[index]
        image = table[int(numbers[row])]
        detail = (
            f"labelled {image.class_name}; {num_votes[row]} of the {exists[row].sum()} nearest images are of class "
            f"{table.class_names[other[row]]} (cosine {cosines[index]:.2f}), {num_own[index] or 'none'} of its own"
        )
        found = tuple(table[int(number)] for number in neighbors[row][exists[row]])
        findings.append(Finding("mislabelled", detail, (image,), found))
    return findings
