"""The rank of this process among those that a launcher started, and its device."""

from __future__ import annotations

import os

import torch


def own_rank(rank: int | None = None, world_size: int | None = None) -> tuple[int, int]:
    """Return the rank of this process and the number of processes.

    Args:
        rank: Rank of this process, from 0. `None`: the environment variable `RANK`, which launchers set, or 0.
        world_size: Number of processes. `None`: the environment variable `WORLD_SIZE`, or 1.

    Raises:
        ValueError: Only one of the two is given, or the rank is outside its range.
    """
    if (rank is None) != (world_size is None):
        raise ValueError(f"expected rank and world_size together, or neither; got {rank} and {world_size}")
    if rank is None or world_size is None:
        rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if not 0 <= rank < world_size:
        raise ValueError(f"expected a rank from 0 to world_size - 1; got rank {rank} of world_size {world_size}")
    return rank, world_size


def own_device(rank: int | None = None, *, fallback: int = 0) -> torch.device:
    """Return the accelerator of this process, or the CPU if there is no accelerator.

    Args:
        rank: Rank of the process on this machine, modulo the number of visible accelerators. `None`: the environment
            variable `LOCAL_RANK`, which launchers set.
        fallback: The rank if `rank` is `None` and `LOCAL_RANK` is not set.
    """
    if not torch.accelerator.is_available():
        return torch.device("cpu")
    accelerator = torch.accelerator.current_accelerator()
    assert accelerator is not None
    local = int(os.environ.get("LOCAL_RANK", fallback)) if rank is None else rank
    return torch.device(accelerator.type, local % torch.accelerator.device_count())
