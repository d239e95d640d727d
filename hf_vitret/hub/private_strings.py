"""What must not be read in public: tokens, and paths of the machine that a checkpoint was made on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# The Hub's tokens: 34 letters and digits now, and not fewer before.
_TOKEN = re.compile(r"\b(?:hf|api_org)_[A-Za-z0-9]{30,}\b")
# An absolute path that does not go on from a word, a dot or another slash, as those of addresses do.
_PATH = re.compile(r"(?<![\w.:/~<-])/[\w.@+-]+(?:/[\w.@+-]+)+/?")
_WINDOWS_PATH = re.compile(r"(?<!\w)[A-Za-z]:\\{1,2}[^\s\"'<>|]+")
# Where people and clusters keep their files; below them every name is somebody's own.
_PRIVATE_ROOTS = {"Users", "content", "data", "datasets", "home", "kaggle", "media", "mnt", "root", "scratch"}
_PRIVATE_ROOTS |= {"srv", "storage", "tmp", "var", "work", "workspace"}
_SYSTEM_ROOTS = {"bin", "boot", "dev", "etc", "lib", "lib64", "proc", "sbin", "sys", "usr"}  # the same everywhere


def without_paths(text: str) -> str:
    """Put the last part of each absolute path of a machine in its place.

    A path counts where its first folder is one in which people keep their files, or is on this machine, and is none of
    the system's; addresses on the Web stay.

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
    """Check that no text has a token of the Hub in it.

    Args:
        texts: By name.
        token: The token in use, which counts whatever it looks like.

    Raises:
        ValueError: One has; the message names the text and not the token.
    """
    for name, text in texts.items():
        if (token and token in text) or _TOKEN.search(text):
            raise ValueError(
                f"{name} has a token of the Hub in it, and nothing was uploaded: take it out, and, if others may have "
                "seen it, make a new one (https://huggingface.co/settings/tokens)"
            )
