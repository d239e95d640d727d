"""The claims as pictures: R@1 by the length of the schedule and by dimension, and how embeddings spread."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from hf_vitret import draw_spread
from hf_vitret.evaluation.reporting.plot_style import COLORS, PLOT_STYLE
from hf_vitret.evaluation.spread.measures import Spread

from .perform import read_facts, read_values
from .run import Run
from .studies import IRT_L, IRT_O, IRT_R, NEGATIVES, Study, paper
from .tables import made_ways

LABELS = {
    IRT_O: "off the shelf",
    IRT_L: "contrastive",
    IRT_R: "with KoLeo, 0.7",
    NEGATIVES: "with KoLeo among negatives",
}
_STYLES = dict(zip(LABELS, (("#8c959f", ":"), (COLORS[0], "-"), (COLORS[1], "--"), (COLORS[2], "-.")), strict=True))
_WIDTH, _HEIGHT = 9.0, 3.4  # inches


def draw_lengths(studies: dict[str, Study], folder: Path) -> Figure:
    """Draw R@1 by steps, a panel for each data set: the mean over seeds, and the range of them."""
    with _panels(studies) as (figure, panels):
        for axes, study in zip(panels, studies.values(), strict=True):
            for way, runs in made_ways(study, folder).items():
                if way == IRT_O:
                    continue
                found = [read_facts(run, folder)["scores"] for run in runs]
                steps = sorted(int(key.partition("/")[0]) for key in found[0] if key.endswith("recall_at_1"))
                scores = 100 * np.array([[one[f"{step}/recall_at_1"] for step in steps] for one in found])
                _draw_range(axes, way, np.array(steps), scores)
            axes.set(xlabel="steps of 64 images")
    return figure


def draw_dimensions(studies: dict[str, Study], folder: Path) -> Figure:
    """Draw R@1 by the dimension that PCA leaves, at the end of the schedule."""
    with _panels(studies) as (figure, panels):
        for axes, study in zip(panels, studies.values(), strict=True):
            for way, runs in made_ways(study, folder).items():
                tables = [read_facts(run, folder)["short_vectors"] for run in runs]
                dims = np.array([row["dim"] for row in tables[0]])
                scores = 100 * np.array([[row["recall_at_1"] for row in table] for table in tables])
                _draw_range(axes, way, dims, scores)
            axes.set_xscale("log", base=2)
            axes.set_xticks(dims, [str(dim) for dim in dims], minor=False)
            axes.set(xlabel="dimensions (PCA of the training set)", ylim=(0, None))
    return figure


def draw_spreads(study: Study, folder: Path) -> Figure:
    """Draw how the test embeddings of each way's first seed spread."""
    return draw_spread({LABELS[way]: _spread(runs[0], folder) for way, runs in made_ways(study, folder).items()})


def paper_studies(seeds: int, folder: Path) -> dict[str, Study]:
    """Give the paper's table of each data set of which all ways have been made."""
    studies = {data: paper(data, seeds) for data in ("emoji", "icons")}
    return {data: study for data, study in studies.items() if len(made_ways(study, folder)) == len(study.ways)}


@contextmanager
def _panels(studies: dict[str, Study]) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a panel for each data set, and put one legend above them in the end."""
    with rc_context(PLOT_STYLE):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        panels = list(figure.subplots(1, len(studies), squeeze=False)[0])
        yield figure, panels
        for axes, data in zip(panels, studies, strict=True):
            axes.set_ylabel(f"{data}: R@1 on unseen classes (%)")
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(LABELS))


def _draw_range(axes: Axes, way: str, places: np.ndarray, scores: np.ndarray) -> None:
    """Draw `(seeds, places)` scores."""
    color, dashes = _STYLES[way]
    axes.fill_between(places, scores.min(axis=0), scores.max(axis=0), color=color, alpha=0.2, linewidth=0)
    axes.plot(places, scores.mean(axis=0), color=color, linestyle=dashes, marker="o", markersize=3, label=LABELS[way])


def _spread(run: Run, folder: Path) -> Spread:
    facts, values = read_facts(run, folder), read_values(run, folder)
    arrays = {name.partition("/")[2]: torch.from_numpy(value) for name, value in values.items() if "spread/" in name}
    means = {name: facts["spread"][name] for name in ("mean_positive_cosine", "mean_negative_cosine")}
    return Spread(**arrays, **means)
