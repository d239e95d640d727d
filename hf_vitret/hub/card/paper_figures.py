"""The scores that the paper (El-Nouby et al. 2021, arXiv 2102.05644) reports on each data set."""

from __future__ import annotations

from typing import Any

_SOURCE = "El-Nouby et al. 2021, arXiv 2102.05644"
_MODELS = (
    "IRT_R, DeiT-S distilled, 384 dimensions",
    "IRT_R, DeiT-S, 384 dimensions",
    "IRT_R, DeiT-S, PCA to 128 dimensions",
    "IRT_L, DeiT-S, 384 dimensions",
    "IRT_O (off the shelf), DeiT-S, 384 dimensions",
)
_REVISITED = tuple(f"{name} mAP {level}" for name in ("ROxford5k", "RParis6k") for level in ("medium", "hard"))


def _rows(columns: tuple[str, ...], figures: dict[str, tuple[float, ...]]) -> dict[str, dict[str, float]]:
    """Label the figures of each row with the names of the columns; a short row fills the first columns only."""
    return {title: dict(zip(columns, row)) for title, row in figures.items()}


def _category_level(columns: tuple[str, ...], *figures: tuple[float, ...]) -> dict[str, Any]:
    """Label the figures of the five models of tables 2 and 3, and add their source."""
    return {"source": f"{_SOURCE}, tables 2 and 3", "rows": _rows(columns, dict(zip(_MODELS, figures, strict=True)))}


PAPER_FIGURES: dict[str, dict[str, Any]] = {
    "sop": _category_level(
        ("R@1", "R@10", "R@100", "R@1000"),
        *((84.2, 93.7, 97.3, 99.1), (84.0, 93.6, 97.2, 99.1), (83.4, 93.0, 97.0, 99.0), (83.0,), (52.8,)),
    ),
    "inshop": _category_level(
        ("R@1", "R@10", "R@20", "R@30"),
        *((91.9, 98.1, 98.7, 98.9), (91.5, 98.1, 98.7, 99.0), (91.1, 98.1, 98.6, 99.0), (90.3,), (31.3,)),
    ),
    "cub": _category_level(
        ("R@1", "R@2", "R@4", "R@8"),
        *((76.6, 85.0, 91.1, 94.3), (74.7, 82.9, 89.3, 93.3), (72.6, 81.9, 88.7, 92.8), (74.2,), (58.5,)),
    ),
    "sfm120k": {
        "source": f"{_SOURCE}, tables 3, 7 and 8",
        "rows": _rows(
            _REVISITED,
            {
                "IRT_R, DeiT-S, 384 dimensions, 224 pixels": (34.0, 11.5, 66.1, 40.2),
                "IRT_L, DeiT-S distilled, 384 dimensions, 224 pixels": (34.5, 15.8, 65.8, 42.0),
                "IRT_L, DeiT-S distilled, PCA to 128 dimensions, 224 pixels": (32.1, 13.3, 63.8, 39.3),
                "IRT_O (off the shelf), DeiT-S, 384 dimensions, 224 pixels": (20.3, 5.6, 50.2, 26.3),
                "IRT_R, DeiT-B distilled, 768 dimensions, 384 pixels": (55.1, 28.3, 72.7, 49.6),
            },
        ),
    },
}
"""Name of the data set -> `source` and `rows` (title of the row -> title of the column -> percent).

A run copies its entry into `results.json`. The paper gives no intervals, and its tables 3 and 9 disagree by up to 0.2
on the same model.
"""
