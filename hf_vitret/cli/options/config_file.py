"""Settings of a command in a YAML or JSON file, which are parsed like arguments of the command line."""

from __future__ import annotations

import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import Action, ArgumentParser
    from collections.abc import Mapping, Sequence

SUFFIXES = (".yaml", ".yml", ".json")
# Options that are about the command line itself and cannot be in a file.
_NO_SETTINGS = frozenset({"config", "help", "help_all"})


def read_config(path: str, parser: ArgumentParser, positional: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
    """Read a file of settings.

    Args:
        path: Path of the file, which maps names of options to their values.
        parser: The parser of the command.
        positional: Names of positional arguments that the file may have too.

    Returns:
        Arguments for the parser, and name -> value of the positional arguments. Arguments of the command line that are
        parsed after these take precedence.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is malformed or has an unknown setting; the message names the nearest one.
    """
    content = _read(Path(path))
    actions = _settings_of(parser)
    unknown = [name for name in content if name not in actions and name not in positional]
    if unknown:
        near = difflib.get_close_matches(unknown[0], [*actions, *positional], 1)
        raise ValueError(
            f"expected settings that are options in {path}; there is no setting {unknown[0]}"
            + (f": did you mean {near[0]}?" if near else "")
        )
    arguments: list[str] = []
    for name, value in content.items():
        if name in positional or value is None:
            continue
        if actions[name].nargs == 0:  # a switch
            if not isinstance(value, bool):
                raise ValueError(f"expected true or false as {name} in {path}; got {value!r}")
            arguments += [f"--{name}"] if value else []
        elif isinstance(value, list):
            arguments += [f"--{name}", *(_as_argument(each) for each in value)]
        else:
            arguments.append(f"--{name}={_as_argument(value)}")  # one argument: the value may start with a dash
    return arguments, {name: str(content[name]) for name in positional if content.get(name) is not None}


def config_text(settings: Mapping[str, Any], comment: str) -> str:
    """Return settings as YAML, for `read_config`.

    Args:
        settings: Name of an option -> its value.
        comment: Lines at the top of the file.
    """
    import yaml

    head = "".join(f"# {line}\n" for line in comment.splitlines())
    text: str = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True, width=1_000)
    return head + text


def _settings_of(parser: ArgumentParser) -> dict[str, Action]:
    """Return name -> option of a parser, for all long names that a file may use."""
    return {
        text.removeprefix("--"): action
        for action in parser._actions
        for text in action.option_strings
        if text.startswith("--") and action.dest not in _NO_SETTINGS
    }


def _as_argument(value: Any) -> str:
    """Return a value as it is written on a command line."""
    return json.dumps(value) if isinstance(value, (dict, bool)) else str(value)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    if not path.is_file():
        raise FileNotFoundError(f"expected a file of settings for --config; there is no file {str(path)!r}")
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"expected a file of settings ({', '.join(SUFFIXES)}) for --config; got {path}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))  # JSON is YAML
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"expected YAML or JSON in {path}: {error}") from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise ValueError(f"expected settings by name in {path}, as max_steps: 500; got {type(content).__name__}")
    return content
