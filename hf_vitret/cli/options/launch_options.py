"""The options that run a command in several processes, and the start of accelerate's launcher, which runs them."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING

from .parser import CommandParser

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

OPTIONS = ("num_processes", "accelerate_config")


def add_launch_options(parser: ArgumentParser) -> None:
    """Add the options that start several processes."""
    group = parser.add_argument_group(
        "several processes", "the same as accelerate launch -m hf_vitret ..., under which these options are refused"
    )
    group.add_argument("-n", "--num_processes", type=int, help="number of processes, one for each GPU; default: 1")
    group.add_argument("--accelerate_config", metavar="FILE", help="configuration that accelerate config wrote")


def asks_for_launch(options: Namespace) -> bool:
    """Return whether the command must start processes.

    Raises:
        ValueError: A launcher has started this process, or the number of processes is below 1.
        FileNotFoundError: There is no file of the configuration.
    """
    num_processes, config = (getattr(options, name, None) for name in OPTIONS)
    if num_processes is None and config is None:
        return False
    if "LOCAL_RANK" in os.environ:
        given = "num_processes" if num_processes is not None else "accelerate_config"
        raise ValueError(f"expected no --{given} in a process that a launcher has started: give it to the launcher")
    if num_processes is not None and num_processes < 1:
        raise ValueError(f"expected --num_processes of 1 or more; got {num_processes}")
    if config is not None and not Path(config).is_file():
        raise FileNotFoundError(
            f"expected a file that accelerate config wrote with --accelerate_config; there is no file {config}"
        )
    return config is not None or num_processes not in (None, 1)


def launch(command: str, arguments: Sequence[str], options: Namespace) -> int:
    """Run a command in several processes, and wait for them.

    Args:
        command: Name of the command.
        arguments: The arguments after the name of the command.
        options: The options parsed from these arguments.

    Returns:
        0 if all processes succeeded; else the exit status of the process that failed first; 130 after Ctrl-C.
    """
    from subprocess import CalledProcessError

    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    line = ["--main_process_port", "0"]
    if options.accelerate_config is not None:
        line += ["--config_file", options.accelerate_config]
    if options.num_processes is not None:
        line += ["--num_processes", str(options.num_processes)]
    if options.accelerate_config is None:
        line += ["--multi_gpu", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    line += ["--module", "hf_vitret", command, *without_launch_options(arguments)]
    # The processes have printed what is wrong; the launcher would add a table and a traceback.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        launch_command(launch_command_parser().parse_args(line))
    except ChildFailedError as error:
        first = min(error.failures.values(), key=lambda failure: failure.timestamp)
        return first.exitcode if first.exitcode > 0 else 128 - first.exitcode
    except CalledProcessError as error:
        return error.returncode if error.returncode > 0 else 128 - error.returncode
    except (KeyboardInterrupt, SignalException):
        return 130
    return 0


def without_launch_options(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of a command without those that start processes."""
    parser = CommandParser(add_help=False)
    add_launch_options(parser)
    return parser.parse_known_args(arguments)[1]
