"""The geometry of views: closed forms of shifts and zooms, and shares counted pixel by pixel."""

import numpy as np
import pytest
from numpy.typing import NDArray

from hf_vitret.data.demo.scenes.cameras import View, apply_homography, corners, homography, visible_part

BOX = (0.0, 0.0, 40.0, 20.0)


def view(matrix: object, size: tuple[int, int] = (40, 20), photograph: str = "cat") -> View:
    return View(photograph, size, np.array(matrix, dtype=float), np.zeros(size[::-1], dtype=bool))


def moved(x: float, y: float, zoom: float = 1.0) -> NDArray[np.float64]:
    return np.array([[zoom, 0, x], [0, zoom, y], [0, 0, 1]])


def test_a_homography_meets_its_points() -> None:
    target = np.array([(3, 1), (45, -2), (38, 24), (1, 19)])
    matrix = homography(corners(BOX), target)
    assert np.allclose(apply_homography(matrix, corners(BOX)), target)
    assert matrix[2, 2] == 1
    assert not np.allclose(matrix[2, :2], 0)


@pytest.mark.parametrize(
    ("matrix", "share", "scale"),
    [
        (moved(0, 0), 1.0, 1.0),
        (moved(20, 0), 0.5, 1.0),
        (moved(20, 10), 0.25, 1.0),
        (moved(40, 0), 0.0, 1.0),
        (moved(-20, -10, 2), 1.0, 0.5),
        (moved(10, 5, 0.5), 0.25, 2.0),
    ],
)
def test_shifts_and_zooms(matrix: NDArray[np.float64], share: float, scale: float) -> None:
    assert visible_part(view(np.eye(3)), BOX, view(matrix)) == pytest.approx((share, scale))


def test_what_is_hidden_or_elsewhere_does_not_count() -> None:
    other = view(moved(0, 0))
    other.hidden[:, :10] = True
    assert visible_part(view(np.eye(3)), BOX, other) == pytest.approx((0.75, 1.0))
    assert visible_part(view(np.eye(3)), BOX, view(np.eye(3), photograph="dog")) == (0.0, 0.0)


def test_a_perspective_against_every_pixel() -> None:
    region = view(homography(corners(BOX), [(12, 9), (70, 14), (64, 51), (8, 40)]))
    other = view(homography(corners((0, 0, 30, 30)), [(30, 2), (75, 8), (80, 45), (25, 38)]), (30, 30))
    other.hidden[8:15, 3:20] = True
    seen = 0
    places = [(x + 0.25, y + 0.25) for x in np.arange(5, 35, 0.5) for y in np.arange(2, 18, 0.5)]
    for point in places:
        on_photograph = region.to_photograph @ [*point, 1]
        x, y, depth = np.linalg.solve(other.to_photograph, on_photograph)
        column, row = int(np.floor(x / depth)), int(np.floor(y / depth))
        seen += 0 <= column < 30 and 0 <= row < 30 and not other.hidden[row, column]
    share, _ = visible_part(region, (5, 2, 35, 18), other)
    assert 0.2 < share < 0.9
    assert share == pytest.approx(seen / len(places), abs=0.02)


def test_behind_the_horizon_nothing_is_seen() -> None:
    tilted = view(np.linalg.inv(np.array([[1, 0, 0], [0, 1, 0], [-0.05, 0, 1]])))
    share, scale = visible_part(view(np.eye(3)), BOX, tilted)
    assert 0 < share < 0.6  # x < 20 lies before the horizon
    assert scale == 0
    # Here the formula takes points behind the horizon, (25, 12) among them, into the view: (20, 12).
    behind = view(np.linalg.inv(np.array([[1, 0, -30], [0, 1, -15], [-0.05, 0, 1]])))
    assert visible_part(view(np.eye(3)), BOX, behind) == (0.0, 0.0)
