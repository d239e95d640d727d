"""A loss class that a run names as `module:Class`: imported, checked and built."""

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn


def import_loss_class(name: str) -> type[nn.Module]:
    """Import the loss class that `module:Class` names.

    The module is found as `import` finds it: among the installed packages and on `PYTHONPATH`, and after those in the
    current folder. Importing it runs its code. Take the name from the command line or from a program only, never from
    a checkpoint.

    Args:
        name: A module and a class in it, such as `"my_package.my_losses:MyLoss"`.

    Returns:
        The class, not yet built.

    Raises:
        ImportError: The module does not exist, or one of its own imports fails.
        ValueError: The module has no such class, or the name is not that of a `torch.nn.Module` class.
    """
    module_name, _, class_name = name.partition(":")
    try:
        with _current_folder_last():
            module = importlib.import_module(module_name)
    except ImportError as error:
        missing = error.name or ""
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{missing}."):
            raise ImportError(
                f"expected a module {module_name} to import the loss {name} from; got no module named {missing}. "
                "Start the run in the folder that holds it, add that folder to PYTHONPATH, or install its package",
                name=error.name,
            ) from error
        raise ImportError(
            f"expected to import the module {module_name} of the loss {name}; one of its own imports failed: {error}. "
            "Install what it imports, or correct that import",
            name=error.name,
        ) from error
    found = getattr(module, class_name, None)
    if found is None:
        names = [each for each, value in vars(module).items() if _is_module_class(value)]
        raise ValueError(
            f"expected a class {class_name} in the module {module_name}, for the loss {name}; got none of that name. "
            f"Name one of the torch.nn.Module classes in it: {', '.join(sorted(names)) or 'it has none'}"
        )
    if not _is_module_class(found):
        kind = f"the class {found.__name__}" if inspect.isclass(found) else f"an object of type {type(found).__name__}"
        raise ValueError(
            f"expected the loss {name} to be a class derived from torch.nn.Module; got {kind}. Name the class, not an "
            "instance of it, and move a function into the forward of such a class"
        )
    loss_class: type[nn.Module] = found
    return loss_class


def build_from_settings(loss_class: type[nn.Module], settings: Mapping[str, Any]) -> nn.Module:
    """Build a loss with those settings that its constructor takes by name; its other parameters keep their defaults.

    Args:
        loss_class: The class of the loss.
        settings: What a constructor may take, by the name of its parameter. `None` stands for a setting that is not
            set: the constructor's own default is kept.

    Returns:
        The loss.

    Raises:
        ValueError: The constructor has a parameter without a default that the settings do not fill, or the class has
            abstract methods.
    """
    abstract = sorted(getattr(loss_class, "__abstractmethods__", ()))
    if abstract:
        raise ValueError(
            f"expected a loss with all its methods; got {loss_class.__name__} with the abstract {', '.join(abstract)}. "
            "Write these methods, or name a subclass that has them"
        )
    taken, missing = {}, []
    for name, parameter in inspect.signature(loss_class).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if settings.get(name) is not None and parameter.kind is not parameter.POSITIONAL_ONLY:
            taken[name] = settings[name]
        elif parameter.default is parameter.empty:
            missing.append(name)
    if missing:
        raise ValueError(
            f"expected a constructor of {loss_class.__name__} whose arguments are among {', '.join(settings)}, or have "
            f"a default; got no value for {', '.join(missing)}. Set it if it is a setting of the run (--temperature), "
            "give it a default, or name a subclass that fills it"
        )
    return loss_class(**taken)


def _is_module_class(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, nn.Module)


@contextmanager
def _current_folder_last() -> Iterator[None]:
    """Add the current folder to the end of the import path inside the `with` block."""
    folder = str(Path.cwd())
    if folder in sys.path or "" in sys.path:
        yield
        return
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
