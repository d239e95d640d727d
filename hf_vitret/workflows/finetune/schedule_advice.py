"""Advice on the length of a run, from its evaluations during training."""

from collections.abc import Mapping
from typing import Any

from ...hub.card.run_curves import recall_curve

# A change of R@1. Seeds differ by up to 1.3 points at one step (4,188 test images), so less than this is chance.
_NOTABLE = 0.015
_KOLEO = 0.7


def schedule_advice(results: Mapping[str, Any]) -> str | None:
    """Return whether a run was too long or too short, and how to change it.

    A run that overfits keeps more of its R@1 with the KoLeo weight of the paper, and a run that still learns is better
    without KoLeo. On 4,213 drawings it changed R@1 by -0.6 points after 500 steps (95% interval -1.0 to -0.1), and by
    +3.3 (2.6 to 4.0) after 3,000 steps, when R@1 without it had fallen from 78.5 to 73.6; three seeds each
    (`python -m tests.benchmarks.claims paper`).

    Args:
        results: Content of `results.json`, from `run_results`.

    Returns:
        A sentence; `None` if R@1 was level at the end, or was measured less than twice during training.
    """
    (_, *points), _ = recall_curve(results)
    if len(points) < 2:
        return None
    (before_step, before), (last_step, last) = points[-2:]
    best_step, best = max(points, key=lambda point: point[1])
    if best - last >= _NOTABLE:
        finding = (
            f"R@1 was highest at step {best_step:,} and {100 * (best - last):.1f} points lower at step {last_step:,}"
        )
        settings = results["training"]
        has_koleo = settings["koleo_weight"] >= _KOLEO and settings["koleo_neighbors"] == "all"
        remedy = "" if has_koleo else f", or with --koleo_weight {_KOLEO} --koleo_neighbors all, which holds a long run"
        return f"{finding}: train for fewer steps{remedy}"
    if last == best and last - before >= _NOTABLE:
        rise = 100 * (last - before)
        return f"R@1 still rose by {rise:.1f} points after step {before_step:,}: a longer run may give more"
    return None
