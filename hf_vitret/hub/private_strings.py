"""Remove local paths from texts before they are published, and refuse texts that contain tokens of the Hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Tokens of the Hub have 34 letters and digits after the prefix; 30 or more are taken for a token.
_TOKEN = re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b")
# An absolute path of two or more parts. The part of a URL is excluded: it follows a word, a dot, a colon or a slash.
_PATH = re.compile(r"(?<![\w.:/~<-])/[\w.@+-]+(?:/[\w.@+-]+)+/?")
_WINDOWS_PATH = re.compile(r"(?<!\w)[A-Za-z]:\\{1,2}[^\s\"'<>|]+")
# Top-level folders in which people and clusters keep files, so that the names in them may be private.
_PRIVATE_ROOTS = {"Users", "content", "data", "datasets", "home", "kaggle", "media", "mnt", "root", "scratch"}
_PRIVATE_ROOTS |= {"srv", "storage", "tmp", "var", "work", "workspace"}
_SYSTEM_ROOTS = {"bin", "boot", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "usr"}  # the same everywhere


def without_paths(text: str) -> str:
    """Replace each absolute path of a machine by its last part.

    A path is replaced if its top-level folder is one in which people keep files (such as `home` and `data`), or if it
    exists on this machine and is no folder of the system (such as `usr`). URLs are kept.

    Args:
        text: Any text.

    Returns:
        The text with shortened paths.

    Example:
        >>> without_paths("train.py --data_dir /home/ada/Stanford_Online_Products --output_dir outputs/sop")
        'train.py --data_dir Stanford_Online_Products --output_dir outputs/sop'
        >>> without_paths("https://arxiv.org/abs/2102.05644 by /usr/bin/env and/or")
        'https://arxiv.org/abs/2102.05644 by /usr/bin/env and/or'
    """

    def shorten(match: re.Match[str]) -> str:
        path = match[0].rstrip("/")
        root = path.split("/")[1]
        is_private = root in _PRIVATE_ROOTS or (root not in _SYSTEM_ROOTS and Path("/", root).is_dir())
        return path.rpartition("/")[2] if is_private else match[0]

    return _WINDOWS_PATH.sub(lambda match: re.split(r"\\+", match[0])[-1], _PATH.sub(shorten, text))


def check_no_tokens(texts: Mapping[str, str], token: str | None = None) -> None:
    """Check that no text contains a token of the Hub.

    Args:
        texts: Name of the text -> the text.
        token: The token in use, which is searched for too, whatever its form.

    Raises:
        ValueError: A text contains a token. The message names the text and does not repeat the token.
    """
    for name, text in texts.items():
        if (token and token in text) or _TOKEN.search(text):
            raise ValueError(
                f"expected no token of the Hub in {name}; it contains one, and nothing was uploaded. Remove the token, "
                "and replace it by a new one if others may have seen it (https://huggingface.co/settings/tokens)"
            )
