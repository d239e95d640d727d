"""`draw_spread`: figures of the spread of embeddings, for one or several models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..reporting.plot_style import COLORS, PLOT_STYLE
from .measures import Spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Line styles, so that the curves can be distinguished in greyscale.
_DASHES = ("-", "--", "-.", (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (3, 3)))
_GREY = "#8c959f"

# Inches. Three panels fill the width of a page; with more than three models, the strips need more height.
_WIDTH, _HEIGHT, _STRIP_HEIGHT = 10.0, 3.2, 1.0
# Number of points of the curve of distances. One point for each item would make a vector file of megabytes.
_QUANTILES = 501


def draw_spread(spreads: Mapping[str, Spread]) -> Figure:
    """Draw energy, cosines and nearest distances of one or several models, side by side.

    From left to right: the share of the variance in the first principal components (figures 2 and 3 of the paper); the
    cosines of pairs of the same class and of different classes, one strip for each model (figure 5); and the share of
    items that have another item within a distance. If embeddings are spread out, the curves rise later and the
    distributions are wider.

    Args:
        spreads: Results of `measure_spread` on one data set, by the names of the models, in the order to draw them; 1
            to 6 models.

    Returns:
        The figure. Save it with `figure.savefig("spread.png", dpi=200)`, or as `.svg` or `.pdf`. It is not registered
        with pyplot, so it need not be closed.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: There is no model, or more models than distinct colours.

    Reference:
        El-Nouby et al., arXiv 2102.05644, figures 2, 3 and 5.
    """
    if not 1 <= len(spreads) <= len(COLORS):
        raise ValueError(
            f"expected 1 to {len(COLORS)} models, one for each colour; got {len(spreads)}. Draw more figures"
        )
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            'figures need matplotlib, which is not installed. Install it with: pip install "hf_vitret[plots]"'
        ) from error

    style = PLOT_STYLE | {"axes.linewidth": 0.8, "lines.linewidth": 1.6}
    with rc_context(style):
        figure = Figure(figsize=(_WIDTH, max(_HEIGHT, _STRIP_HEIGHT * len(spreads))), layout="constrained")
        panels = figure.add_gridspec(1, 3, wspace=0.06)
        strips = panels[1].subgridspec(len(spreads), 1, hspace=0.08).subplots(sharex=True, sharey=True, squeeze=False)
        energy, distance = figure.add_subplot(panels[0]), figure.add_subplot(panels[2])
        _draw_energy(energy, spreads)
        _draw_cosines(list(strips[:, 0]), spreads)
        _draw_distances(distance, spreads)
        return figure


def _draw_energy(axes: Axes, spreads: Mapping[str, Spread]) -> None:
    for number, (name, spread) in enumerate(spreads.items()):
        energy = 100 * spread.cumulative_energy.numpy()
        components = np.arange(1, len(energy) + 1)
        axes.plot(components, energy, color=COLORS[number], linestyle=_DASHES[number], label=name)
    axes.set(xlabel="principal components", ylabel="share of variance (%)", ylim=(0, 103))
    axes.set_xlim(left=0)
    axes.legend(loc="lower right")


def _draw_cosines(strips: list[Axes], spreads: Mapping[str, Spread]) -> None:
    from matplotlib.legend_handler import HandlerTuple
    from matplotlib.patches import Patch

    for axes, color, (name, spread) in zip(strips, COLORS, spreads.items()):
        edges = spread.bin_edges.numpy()
        for counts, fill in ((spread.negative_cosines, _GREY), (spread.positive_cosines, color)):
            density = counts.numpy() / (max(int(counts.sum()), 1) * np.diff(edges))
            axes.stairs(density, edges, fill=True, color=fill, alpha=0.35)
            axes.stairs(density, edges, color=fill, linewidth=1.2)
        axes.set_title(name, loc="left", fontsize=9, pad=2)
        axes.set(ylabel="density", yticks=[])  # one scale for all strips
    seen = np.sum([(each.positive_cosines + each.negative_cosines).numpy() for each in spreads.values()], axis=0)
    (used,) = seen.nonzero()
    strips[-1].set(xlabel="cosine of a pair", xlim=(edges[used[0]], edges[used[-1] + 1]), ylim=(0, None))
    keys = (Patch(color=_GREY, alpha=0.5), tuple(Patch(color=color, alpha=0.6) for color in COLORS[: len(strips)]))
    strips[0].legend(
        keys, ("different classes", "same class"), handler_map={tuple: HandlerTuple(ndivide=None)}, loc="upper left"
    )


def _draw_distances(axes: Axes, spreads: Mapping[str, Spread]) -> None:
    shares = np.linspace(0, 1, _QUANTILES)
    for number, (name, spread) in enumerate(spreads.items()):
        distances = np.quantile(spread.nearest_distances.numpy(), shares)
        axes.plot(distances, 100 * shares, color=COLORS[number], linestyle=_DASHES[number], label=name)
    axes.set(
        xlabel="Euclidean distance to the nearest item", ylabel="items with a neighbour that near (%)", ylim=(0, 103)
    )
    axes.set_xlim(left=0)
