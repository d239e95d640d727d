"""Which of several processes this one is, by what a launcher has set, and which device is its own."""

from __future__ import annotations

import os

import torch


def own_rank(rank: int | None = None, world_size: int | None = None) -> tuple[int, int]:
    """Return this process's number and the number of processes; default: `RANK` and `WORLD_SIZE`, as launchers set.

    Raises:
        ValueError: One of the two is missing, or the rank is outside of its range.
    """
    if (rank is None) != (world_size is None):
        raise ValueError(f"expected rank and world_size together, or neither; got {rank} and {world_size}")
    if rank is None or world_size is None:
        rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if not 0 <= rank < world_size:
        raise ValueError(f"expected a rank from 0 to world_size - 1; got rank {rank} of world_size {world_size}")
    return rank, world_size


def own_device(rank: int | None = None, *, fallback: int = 0) -> torch.device:
    """Return the accelerator of a process, the CPU where there is none.

    Args:
        rank: Number of the process on this machine, taken modulo the number of accelerators. `None`: `LOCAL_RANK`, as
            launchers set it. What is out of sight (`CUDA_VISIBLE_DEVICES`) is not counted.
        fallback: The number where there is neither.
    """
    if not torch.accelerator.is_available():
        return torch.device("cpu")
    accelerator = torch.accelerator.current_accelerator()
    assert accelerator is not None
    local = int(os.environ.get("LOCAL_RANK", fallback)) if rank is None else rank
    return torch.device(accelerator.type, local % torch.accelerator.device_count())
