"""The device that a model runs on, from its name."""

from __future__ import annotations

import torch


def choose_device(name: str | None = None) -> torch.device:
    """Return the device of a name, or the accelerator of this machine, or the CPU where it has none.

    Args:
        name: As torch spells it: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`. `None`: the accelerator where there is one.

    Raises:
        ValueError: It is no name of a device, or of one that this machine lacks; the message lists those that it has.
    """
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if name is None:
        return accelerator or torch.device("cpu")
    known = ["cpu"]
    if accelerator is not None:
        known += [
            accelerator.type,
            *(f"{accelerator.type}:{number}" for number in range(torch.accelerator.device_count())),
        ]
    if name not in known:
        raise ValueError(f"expected a device of this machine, {', '.join(known)}; got {name!r}")
    return torch.device(name)
