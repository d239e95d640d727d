"""The command that a run was started with, fit for everyone to read."""

import shlex
from collections.abc import Sequence

from ...hub.private_strings import without_paths

TOKEN_OPTION = "--hub_token"
_SHORTEST = len("--hub_t")  # argparse takes what an option begins with for the option


def own_command(argv: Sequence[str]) -> str:
    """Write the command that repeats a run: without its token, and with the last part of each path of this machine.

    The token is left out with its option: `hf auth login` has one too.

    Args:
        argv: The script and its arguments: `sys.argv`.

    Example:
        >>> own_command(["recipes/train_cub.py", "--hub_token", "secret", "--data_dir", "/home/ada/CUB_200_2011.tgz"])
        'accelerate launch recipes/train_cub.py --data_dir CUB_200_2011.tgz'
    """
    kept: list[str] = []
    is_token = False
    for part in argv:
        option, _, value = part.partition("=")
        if is_token:
            is_token = False
        elif _names_token(option):
            is_token = not value
        else:
            kept.append(without_paths(part))
    return shlex.join(["accelerate", "launch", *kept])


def _names_token(option: str) -> bool:
    spelled = option.replace("-", "_").replace("__", "--", 1)
    return len(spelled) >= _SHORTEST and TOKEN_OPTION.startswith(spelled)
