"""Which part of a photograph a view shows, and how much of one view is seen in another: exact, by homographies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]  # (num_points, 2), x and y in pixels; the first pixel is from 0 to 1
GRID = 24  # points a side at which a region is looked at


@dataclass(frozen=True)
class View:
    """A view of a photograph.

    Attributes:
        photograph: Its name.
        size: Width and height of the view in pixels.
        to_photograph: (3, 3) float64, from points of the view to points of the photograph.
        hidden: (height, width) bool, where something stands before it.
    """

    photograph: str
    size: tuple[int, int]
    to_photograph: NDArray[np.float64]
    hidden: NDArray[np.bool_]


def homography(source: Any, target: Any) -> NDArray[np.float64]:
    """Return the (3, 3) matrix that takes four points to four others; its last entry is 1."""
    rows, values = [], []
    for (x, y), (u, v) in zip(source, target):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    solved = np.linalg.solve(np.array(rows, dtype=np.float64), np.array(values, dtype=np.float64))
    return np.append(solved, 1.0).reshape(3, 3)


def apply_homography(matrix: Any, points: Any) -> Points:
    """Take points through a homography; those at or behind its horizon become infinite."""
    mapped = np.column_stack([np.asarray(points, dtype=np.float64), np.ones(len(points))]) @ matrix.T
    depth = np.where(mapped[:, 2:] > 0, mapped[:, 2:], np.nan)
    places: Points = np.nan_to_num(mapped[:, :2] / depth, nan=np.inf)
    return places


def corners(box: tuple[float, float, float, float]) -> Points:
    """Return the corners of a box (left, top, right, bottom), going round."""
    left, top, right, bottom = box
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], dtype=np.float64)


def visible_part(region: View, box: tuple[float, float, float, float], view: View) -> tuple[float, float]:
    """Measure how much of a box of one view another view shows, and how large.

    Args:
        region: The view that the box belongs to.
        box: Left, top, right and bottom in its pixels.
        view: Where it is looked for.

    Returns:
        The share of the box that is inside the view and not hidden there, in [0, 1]; and the ratio of its side in the
        view to its side in `region`, over the whole of the box. Both 0 if they show different photographs.
    """
    if region.photograph != view.photograph:
        return 0.0, 0.0
    matrix = np.linalg.inv(view.to_photograph) @ region.to_photograph
    matrix /= matrix[2, 2]
    left, top, right, bottom = box
    places = (np.arange(GRID) + 0.5) / GRID
    x, y = np.meshgrid(left + places * (right - left), top + places * (bottom - top))
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
    """Return the area of a polygon, by the shoelace formula."""
    x, y = outline.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)
