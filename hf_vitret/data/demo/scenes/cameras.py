"""Views of a photograph as homographies, and the exact share of one view that is visible in another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (num_points, 2), x and y in pixels; the first pixel reaches from 0 to 1
GRID = 24  # points along each side of a box at which its visibility is sampled


@dataclass(frozen=True)
class View:
    """A view of a photograph.

    Attributes:
        photograph: Name of the photograph.
        size: Width and height of the view in pixels.
        to_photograph: `(3, 3)` float64, the homography from points of the view to points of the photograph.
        hidden: `(height, width)` bool, True where an object in front covers the scene.
    """

    photograph: str
    size: tuple[int, int]
    to_photograph: NDArray[np.float64]
    hidden: NDArray[np.bool_]


def homography(source: Any, target: Any) -> NDArray[np.float64]:
    """Solve for the homography that maps four points to four others.

    Args:
        source: `(4, 2)`, the points to map; no three of them may lie on one line.
        target: `(4, 2)`, the points that they are mapped to.

    Returns:
        `(3, 3)` float64; the last entry is 1.
    """
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    solved = np.linalg.solve(np.array(rows, dtype=np.float64), np.array(values, dtype=np.float64))
    return np.append(solved, 1.0).reshape(3, 3)


def apply_homography(matrix: Any, points: Any) -> Points:
    """Map points by a homography.

    Args:
        matrix: `(3, 3)` homography.
        points: `(num_points, 2)`, x and y.

    Returns:
        `(num_points, 2)` float64. Points on or behind the horizon of the homography are infinite.
    """
    mapped = np.column_stack([np.asarray(points, dtype=np.float64), np.ones(len(points))]) @ matrix.T
    depth = np.where(mapped[:, 2:] > 0, mapped[:, 2:], np.nan)
    found: Points = np.nan_to_num(mapped[:, :2] / depth, nan=np.inf)
    return found


def corners(box: tuple[float, float, float, float]) -> Points:
    """Return the corners of a box (left, top, right, bottom), `(4, 2)` float64, in order along its outline."""
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float64)


def visible_part(region: View, box: tuple[float, float, float, float], view: View) -> tuple[float, float]:
    """Measure which share of a box of one view is visible in another view, and at which scale.

    Args:
        region: The view that the box belongs to.
        box: Left, top, right and bottom of the box, in pixels of `region`.
        view: The view in which the box is looked for.

    Returns:
        The share of the box that lies inside `view` and is not hidden there, in [0, 1]; and the square root of the
        ratio of the area of the box in `view` to its area in `region`. Both are 0 if the two views show different
        photographs; the scale alone is 0 if a corner of the box is not in front of the camera of `view`.
    """
    if region.photograph != view.photograph:
        return 0.0, 0.0
    matrix = np.linalg.inv(view.to_photograph) @ region.to_photograph
    matrix /= matrix[2, 2]
    left, top, right, bottom = box
    shares = (np.arange(GRID) + 0.5) / GRID
    x, y = np.meshgrid(left + shares * (right - left), top + shares * (bottom - top))
    points = apply_homography(matrix, np.column_stack([x.ravel(), y.ravel()]))
    width, height = view.size
    inside = (points >= 0).all(axis=1) & (points[:, 0] < width) & (points[:, 1] < height)
    column, row = points[inside].astype(np.int64).T
    share = float((~view.hidden[row, column]).sum()) / len(points)
    outline = apply_homography(matrix, corners(box))
    if not np.isfinite(outline).all():
        return share, 0.0
    return share, float(np.sqrt(_area(outline) / ((right - left) * (bottom - top))))


def _area(outline: Points) -> float:
    """Return the area of a polygon, `(num_corners, 2)`, by the shoelace formula."""
    x, y = outline.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
