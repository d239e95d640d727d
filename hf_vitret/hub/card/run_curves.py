"""A figure of a training run: the loss and its terms on the left, R@1 on the right, over the steps.

A run that measured nothing has the losses alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...evaluation.reporting.plot_style import COLORS, INK, PLOT_STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Line styles tell the curves apart in print without colour.
_DASHES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5)), (0, (3, 3)))
_WIDTH, _HEIGHT = 10.0, 3.4  # inches, as wide as the text of a card
# Entries of a log line that are not terms of the loss.
_NO_TERMS = {"loss", "grad_norm", "learning_rate", "data_wait", "epoch", "step", "total_flos"}


def draw_run_curves(results: Mapping[str, Any]) -> Figure:
    """Draw the logged losses, and R@1 of each evaluation, the first before training.

    The terms of the loss are drawn before they are weighted; the weights of KoLeo and of the memory are among the
    settings. The evaluation at the end is that of the best checkpoint, and is drawn at the step of that checkpoint.
    Without scores the losses are drawn alone.

    Args:
        results: The content of the run's `results.json`: `log` (the `log_history` of `Trainer`), `scores` and
            `training`.

    Returns:
        The figure, to be saved with `figure.savefig("curves.png", dpi=150)`. It is not registered with pyplot and need
        not be closed.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('curves need matplotlib: pip install "hf_vitret[plots]"') from error

    with rc_context(PLOT_STYLE):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        axes = figure.subplots(1, 2 if results["scores"] else 1, squeeze=False)[0]
        _draw_losses(axes[0], results["log"])
        if results["scores"]:
            _draw_recall(axes[1], results)
        return figure


def loss_curves(log: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[int, float]]]:
    """Read the curves of the loss and of each of its terms from a log.

    Args:
        log: The `log_history` of `Trainer`.

    Returns:
        Name of the loss or term -> its points, (step, value). The loss comes first.

    Example:
        >>> loss_curves([{"loss": 3.0, "koleo": 0.5, "epoch": 0.1, "step": 5}, {"eval_recall_at_1": 0.7, "step": 5}])
        {'loss': [(5, 3.0)], 'koleo': [(5, 0.5)]}
    """
    lines = [line for line in log if "loss" in line]
    terms = (name for line in lines for name in line if name not in _NO_TERMS)
    names = dict.fromkeys(["loss", *terms]) if lines else {}
    return {name: [(line["step"], line[name]) for line in lines if name in line] for name in names}


def recall_curve(results: Mapping[str, Any]) -> tuple[list[tuple[int, float]], tuple[int, float]]:
    """Read R@1 of the evaluations before and during training, and of the checkpoint that was kept.

    Args:
        results: The content of the run's `results.json`: `log`, `scores` (one or more) and `training`.

    Returns:
        The points (step, R@1 in [0, 1]) of the evaluations, and the point of the kept checkpoint.

    Example:
        >>> log = [{"eval_recall_at_1": 0.7, "step": 5}, {"train_runtime": 9.0}, {"eval_recall_at_1": 0.7, "step": 10}]
        >>> scores = {"before": {"recall_at_1": 0.1}, "after": {"recall_at_1": 0.7}}
        >>> recall_curve({"log": log, "scores": scores, "training": {"best_step": 5}})
        ([(0, 0.1), (5, 0.7)], (5, 0.7))
    """
    first, *_, last = results["scores"].values()
    points = [(0, first["recall_at_1"])]
    for line in results["log"]:
        if "train_runtime" in line:  # the next line is the evaluation of the kept weights, logged at the last step
            break
        if "eval_recall_at_1" in line:
            points.append((line["step"], line["eval_recall_at_1"]))
    return points, (results["training"]["best_step"], last["recall_at_1"])


def _draw_losses(axes: Axes, log: Sequence[Mapping[str, Any]]) -> None:
    curves = loss_curves(log)
    for number, (name, points) in enumerate(curves.items()):
        color, dash = (INK, "-") if not number else (COLORS[(number - 1) % 6], _DASHES[number % 6])
        axes.plot(*zip(*points), color=color, linestyle=dash, linewidth=1.6 if not number else 1.2, label=name)
    axes.set(xlabel="step", ylabel="loss", ylim=(min(0, axes.get_ylim()[0]), None))
    axes.set_xlim(left=0)
    if curves:
        axes.legend(loc="best")


def _draw_recall(axes: Axes, results: Mapping[str, Any]) -> None:
    points, kept = recall_curve(results)
    steps, shares = zip(*sorted({*points, kept}))
    axes.plot(steps, [100 * share for share in shares], color=COLORS[0], linewidth=1.6, marker="o", markersize=3.5)
    for name, (step, share) in {"off the shelf": points[0], "kept": kept}.items():
        axes.plot([step], [100 * share], "o", markersize=8, markerfacecolor="none", markeredgecolor=INK)
        axes.annotate(
            f"{name}: {100 * share:.1f}",
            (step, 100 * share),
            xytext=(8, -4) if step == 0 else (-4, 8),
            textcoords="offset points",
            ha="left" if step == 0 else "right",
        )
    axes.set(xlabel="step", ylabel="R@1 (%)", ylim=(0, 108), yticks=range(0, 101, 20))
    axes.set_xlim(left=-0.02 * (max(steps) or 1))
