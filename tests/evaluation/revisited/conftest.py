import numpy as np
import pytest

from hf_vitret.data.landmarks.revisited_ground_truth import RevisitedGroundTruth


@pytest.fixture(scope="session")
def make_truth():
    """Return the function that draws a ground truth: numbers of queries and gallery images, largest set, seed."""

    def make(num_queries: int, num_gallery: int, most: int, seed: int) -> RevisitedGroundTruth:
        rng = np.random.default_rng(seed)
        parts = ([], [], [])
        for query in range(num_queries):
            sizes = rng.integers(0, most + 1, 3)
            # Some queries have no easy images, no hard ones, neither, or no junk.
            sizes *= np.array([[0, 1, 1], [1, 0, 1], [0, 0, 1], [1, 1, 0], *[[1, 1, 1]] * 6])[query % 10]
            rows = rng.permutation(num_gallery)
            for part, own in zip(parts, np.split(rows[: sizes.sum()], sizes.cumsum()[:-1]), strict=True):
                part.append(own)
        names = [f"query_{row}" for row in range(num_queries)], [f"image_{row}" for row in range(num_gallery)]
        return RevisitedGroundTruth(*names, [(0, 0, 1, 1)] * num_queries, *parts)

    return make
