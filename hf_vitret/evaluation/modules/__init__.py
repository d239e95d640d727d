"""Metrics for `evaluate.load`: folders with a script of the same name, which calls the functions of this package."""

from pathlib import Path

MODULES = ("mean_average_precision_at_r", "recall_at_k")


def evaluate_module(name: str) -> str:
    """Return the folder of a metric, for `evaluate.load`.

    Args:
        name: `"recall_at_k"` or `"mean_average_precision_at_r"`.

    Returns:
        The absolute path of the folder.

    Raises:
        ValueError: There is no such metric.

    Example:
        >>> evaluate_module("recall_at_k").endswith("recall_at_k")
        True
    """
    if name not in MODULES:
        raise ValueError(f"expected one of {', '.join(MODULES)}; got {name!r}. Choose one of these metrics")
    return str(Path(__file__).parent / name)
