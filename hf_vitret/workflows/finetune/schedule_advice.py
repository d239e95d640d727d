"""What a run's scores on the way say of its length."""

from collections.abc import Mapping
from typing import Any

from ...hub.card.run_curves import recall_curve

# Of R@1. Seeds differ by up to 1.3 points at one step (4,188 test images), and less than this is chance.
_NOTABLE = 0.015
_KOLEO = 0.7


def schedule_advice(results: Mapping[str, Any]) -> str | None:
    """Tell whether a run was too long or too short, and what to do about it.

    A run that overfits keeps more of its R@1 with the paper's KoLeo, and one that still learns is better without: after
    500 steps on 4,213 drawings -0.6 points with it (95% interval -1.0 to -0.1), after 3,000 steps, when R@1 had fallen
    from 78.5 to 73.6 without it, +3.3 (2.6 to 4.0); three seeds each (`python -m tests.benchmarks.claims paper`).

    Args:
        results: Of the run, as `run_results` collects them.

    Returns:
        One sentence or two; `None` where R@1 was level at the end, or was measured less than twice on the way.
    """
    (_, *on_the_way), _ = recall_curve(results)
    if len(on_the_way) < 2:
        return None
    (before_step, before), (last_step, last) = on_the_way[-2:]
    best_step, best = max(on_the_way, key=lambda point: point[1])
    if best - last >= _NOTABLE:
        told = f"R@1 was highest at step {best_step:,} and {100 * (best - last):.1f} points lower at step {last_step:,}"
        settings = results["training"]
        held = settings["koleo_weight"] >= _KOLEO and settings["koleo_neighbors"] == "all"
        remedy = "" if held else f", or with --koleo_weight {_KOLEO} --koleo_neighbors all, which holds a long run"
        return f"{told}: train for fewer steps{remedy}"
    if last == best and last - before >= _NOTABLE:
        rise = 100 * (last - before)
        return f"R@1 still rose by {rise:.1f} points after step {before_step:,}: a longer run may give more"
    return None
