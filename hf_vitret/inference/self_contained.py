"""`check_self_contained`: refuse a checkpoint that names files or code outside itself, without running any of it."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

CONFIG, WEIGHTS_INDEX, MODULES = "config.json", "model.safetensors.index.json", "modules.json"
SENTENCE_TRANSFORMERS = "sentence_transformers."  # the only package whose classes modules.json may name
_CLASS = re.compile(r"\w+\.\w+")  # "file.Class", as transformers names a class in the code of a checkpoint


def check_self_contained(source: str | PathLike[str], revision: str | None = None, token: str | None = None) -> None:
    """Check that the files of a checkpoint name nothing outside the checkpoint.

    A configuration can load code from another repository (`auto_map`: "other/repo--file.Class") or name a folder on
    this machine. An index of weights, and the list of modules of sentence-transformers, can name files outside the
    folder. Such a checkpoint loads more than what a user who reads its files sees.

    Args:
        source: Folder or Hub id.
        revision: Branch, tag or commit on the Hub.
        token: Hub token that can read the checkpoint. None: that of `hf auth login` or HF_TOKEN.

    Raises:
        ValueError: The checkpoint names something outside, or one of these files is malformed.
        OSError: There is no such checkpoint.
    """
    for name, check in ((CONFIG, _check_config), (WEIGHTS_INDEX, _check_index), (MODULES, _check_modules)):
        content = _read_json(source, name, revision, token)
        if content is not None:
            check(content, f"{name} of {source}", str(source))


def _read_json(source: str | PathLike[str], name: str, revision: str | None, token: str | None) -> Any:
    """Read one file of a checkpoint; None if there is no such file."""
    from transformers.utils.hub import cached_file

    path = cached_file(
        source,
        name,
        revision=revision,
        token=token,
        _raise_exceptions_for_missing_entries=name == CONFIG,
        _raise_exceptions_for_connection_errors=name == CONFIG,
    )
    if path is None:
        return None
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:  # the base class of UnicodeDecodeError and JSONDecodeError
        raise ValueError(f"expected JSON in {name} of {source}: {error}") from error


def _check_config(config: Any, where: str, source: str) -> None:
    """Check the code that a configuration names, and the names of the models that it was made from."""
    if not isinstance(config, dict):
        raise ValueError(f"expected an object in {where}; got {type(config).__name__}")
    for name, value in _named(config, "auto_map"):
        for entry in value.values() if isinstance(value, dict) else [value]:
            for code in entry if isinstance(entry, list) else [entry]:
                own = code.removeprefix(f"{source}--") if isinstance(code, str) else code
                if own is not None and not (isinstance(own, str) and _CLASS.fullmatch(own)):
                    raise ValueError(_refusal(f"{name} {code!r}", where, "code of its own, written 'file.Class'"))
    for name, value in _named(config, "_name_or_path"):
        if isinstance(value, str) and _leaves(value):
            raise ValueError(_refusal(f"{name} {value!r}", where, "the id of a model on the Hub, or nothing"))


def _check_index(index: Any, where: str, _: str) -> None:
    """Check that all files of weights are in the folder itself."""
    shards = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(shards, dict):
        raise ValueError(f"expected a weight_map in {where}, from weights to files; it has none")
    for shard in {str(shard) for shard in shards.values()}:
        if _leaves(shard) or not shard.endswith(".safetensors"):
            raise ValueError(_refusal(f"weights in {shard!r}", where, "safetensors files in its own folder"))


def _check_modules(modules: Any, where: str, _: str) -> None:
    """Check the list of modules from which sentence-transformers builds a model."""
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ValueError(f"expected a list of modules in {where}")
    for module in modules:
        kind, path = str(module.get("type", "")), str(module.get("path", ""))
        if not kind.startswith(SENTENCE_TRANSFORMERS):
            raise ValueError(_refusal(f"a module of type {kind!r}", where, f"types of {SENTENCE_TRANSFORMERS[:-1]}"))
        if _leaves(path):
            raise ValueError(_refusal(f"a module in {path!r}", where, "folders in its own folder"))


def _named(config: Mapping[str, Any], field: str, prefix: str = "") -> list[tuple[str, Any]]:
    """Return all values of a field in a configuration and in the configurations inside it, with their full names."""
    found = [(prefix + field, config[field])] if field in config else []
    for name, value in config.items():
        if isinstance(value, dict) and name != field:
            found += _named(value, field, f"{prefix}{name}.")
    return found


def _leaves(path: str) -> bool:
    """Return whether a path is absolute, or leads out of the folder relative to which it is read.

    Example:
        >>> [_leaves(path) for path in ("model-00001-of-00002.safetensors", "facebook/deit", "", "1_Pooling")]
        [False, False, False, False]
        >>> [_leaves(path) for path in ("../other", "/home/ada/vit", "~/vit", "C:/vit", "a/../../b")]
        [True, True, True, True, True]
    """
    windows = PureWindowsPath(path)
    is_absolute = PurePosixPath(path).is_absolute() or bool(windows.drive or windows.root) or path.startswith("~")
    return is_absolute or ".." in windows.parts


def _refusal(found: str, where: str, expected: str) -> str:
    return (
        f"refused, and nothing was run: {where} names something outside the checkpoint. Expected {expected}; got "
        f"{found}. If you trust its author, remove the entry from the file and load it again"
    )
