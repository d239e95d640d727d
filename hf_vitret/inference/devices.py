"""`choose_device`: the device on which a model runs, from its name."""

from __future__ import annotations

import torch


def choose_device(name: str | None = None) -> torch.device:
    """Return the device with a name.

    Args:
        name: Name of the device in torch: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`. `None`: the accelerator of this
            machine, or the CPU if it has none.

    Raises:
        ValueError: This machine has no such device; the message lists the devices that it has.
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
