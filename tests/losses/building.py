"""Pair losses built for a test, whichever of the settings of a run their constructors take."""

from __future__ import annotations

import inspect

from hf_vitret.losses import PairLoss


def build(loss_class: type[PairLoss], **settings: int) -> PairLoss:
    """Build a loss with those settings that its constructor has parameters for."""
    taken = inspect.signature(loss_class).parameters
    return loss_class(**{name: value for name, value in settings.items() if name in taken})
