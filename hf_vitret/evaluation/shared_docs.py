"""`same_arguments`, a decorator that copies the Args and Raises sections of one function's docstring to another's."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_ORDER = ("", "Args", "Returns", "Yields", "Raises", "Reference", "Example")
_HEADER = re.compile(rf"^(?=(?:{'|'.join(_ORDER[1:])}):$)", re.MULTILINE)


def same_arguments(source: Callable[..., Any]) -> Callable[[Function], Function]:
    """Copy the Args and Raises sections of a function's docstring to another function, so that `help` shows them.

    The decorator changes the docstring and returns the function itself, so that doctest and type checkers see what was
    written. A section that the function has of its own stays.

    Args:
        source: A function with the same parameters and the same defaults, whose docstring has the two sections.

    Returns:
        The decorator.

    Raises:
        TypeError: The parameters of the decorated function are not those of `source`.

    Example:
        >>> def double(number: int) -> int:
        ...     '''Double a number.
        ...
        ...     Args:
        ...         number: Any integer.
        ...     '''
        ...     return 2 * number
        >>> @same_arguments(double)
        ... def triple(number: int) -> int:
        ...     '''Triple a number.'''
        ...     return 3 * number
        >>> print(triple.__doc__)
        Triple a number.
        <BLANKLINE>
        Args:
            number: Any integer.
    """

    def decorate(function: Function) -> Function:
        expected, received = (inspect.signature(each).parameters for each in (source, function))
        if received != expected:
            raise TypeError(
                f"{function.__name__} must have the parameters of {source.__name__}, ({', '.join(expected)}), with the "
                f"same defaults and types; got ({', '.join(received)}). Write an Args section of its own."
            )
        if source.__doc__ and function.__doc__:  # python -OO removes docstrings
            copied = {name: text for name, text in _sections(source.__doc__).items() if name in ("Args", "Raises")}
            sections = copied | _sections(function.__doc__)
            function.__doc__ = "\n\n".join(sections[name] for name in _ORDER if name in sections)
        return function

    return decorate


def _sections(docstring: str) -> dict[str, str]:
    """Split a docstring into its sections by name, each with its header; the text before them has the name ""."""
    description, *others = _HEADER.split(inspect.cleandoc(docstring))
    return {"": description.strip(), **{text.partition(":")[0]: text.strip() for text in others}}
