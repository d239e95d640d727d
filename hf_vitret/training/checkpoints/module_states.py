"""The states of several modules in one dictionary, as a checkpoint stores them."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from ...data.schema import name_some


def module_states(modules: Mapping[str, nn.Module]) -> dict[str, torch.Tensor]:
    """Return the states of modules in one dictionary.

    Args:
        modules: The modules by name.

    Returns:
        Their tensors, named `<module>.<name in its state>`.
    """
    return {
        f"{part}.{name}": tensor for part, module in modules.items() for name, tensor in module.state_dict().items()
    }


def load_module_states(modules: Mapping[str, nn.Module], state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Load the states of modules from the dictionary of `module_states`, all of them or none.

    Args:
        modules: The modules by name.
        state: The tensors, named `<module>.<name in its state>`.
        path: The file that they were read from, for the error message.

    Raises:
        ValueError: Names or shapes differ from those of the modules.
    """
    expected = module_states(modules)
    differing = sorted(
        name
        for name in expected.keys() | state.keys()
        if name not in expected or name not in state or expected[name].shape != state[name].shape
    )
    if differing:
        raise ValueError(
            f"expected in {path} the state of this run's loss and memory; missing, not of this run, or of another "
            f"size: {name_some(differing)}. Resume with the loss, memory and momentum that the run began "
            "with, or start a new run from the weights of the checkpoint"
        )
    for part, module in modules.items():
        prefix = f"{part}."
        module.load_state_dict(
            {name[len(prefix) :]: tensor for name, tensor in state.items() if name.startswith(prefix)}
        )
