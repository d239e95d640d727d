"""Print the versions, devices, threads and extras of this installation, for a bug report.

  hf-vitret env
  hf-vitret env --json

Prints no token, and no path of data.
Exit status: 0.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from typing import TYPE_CHECKING, Any

from ..output import add_output_options, labelled, output_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

PACKAGE = "hf_vitret"
# Environment variables that change what the libraries do.
VARIABLES = (
    *("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "WORLD_SIZE", "LOCAL_RANK"),
    *("HF_HOME", "HF_HUB_OFFLINE", "HF_ENDPOINT", "TRANSFORMERS_OFFLINE"),
)
NOT_FOR_USERS = ("test", "dev", "bench", "gpu")  # extras; gpu and cpu are two packages of one library


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    add_output_options(parser)


def run(options: Namespace) -> int:
    """Print the facts; return 0."""
    facts = collect_facts()
    installed = "" if facts["is_installed"] else " (not installed, so its packages are not known)"
    lines = [("hf_vitret", f"{facts['hf_vitret']}{installed}, Python {facts['python']}, {facts['platform']}")]
    lines += [(name, version or "missing") for name, version in facts["packages"].items()]
    lines.append(("devices", ", ".join(facts["devices"]) + f"; CUDA of torch: {facts['cuda'] or 'none'}"))
    lines.append(("threads", f"{facts['threads']['torch']} of torch, {facts['threads']['cpus']} CPUs for this process"))
    lines += [(name, value) for name, value in facts["environment"].items()]
    width = max(len(name) for name, _ in lines) + 2
    text = "\n".join(f"{name:{width}}{value}" for name, value in lines)
    there = [name for name, missing in facts["extras"].items() if not missing]
    text += f"\n\n{labelled(('Extras', ', '.join(there) or 'none'))}"
    for name, missing in facts["extras"].items():
        if missing:
            text += f'\n{"":13}{name}: {", ".join(missing)} missing: pip install "{PACKAGE}[{name}]"'
    output_of(options).result(text, facts)
    return 0


def collect_facts() -> dict[str, Any]:
    """Collect facts on the installation, as JSON values without tokens."""
    import torch

    from ... import __version__

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    devices = [f"cpu ({platform.processor() or platform.machine()})"]
    if accelerator is not None:
        count = torch.accelerator.device_count()
        names = [torch.cuda.get_device_name(number) for number in range(count)] if accelerator.type == "cuda" else []
        devices += [f"{accelerator.type}:{number} {names[number] if names else ''}".strip() for number in range(count)]
    is_installed = _version(PACKAGE) is not None
    return {
        "hf_vitret": __version__,
        "is_installed": is_installed,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "executable": sys.executable,
        "packages": {name: _version(name) for name in _requirements(None)} if is_installed else {},
        "devices": devices,
        "cuda": torch.version.cuda,
        "threads": {"torch": torch.get_num_threads(), "cpus": _num_cpus()},
        "environment": {name: os.environ[name] for name in VARIABLES if name in os.environ},
        "extras": {
            extra: [name for name in _requirements(extra) if _version(name) is None]
            for extra in sorted(importlib.metadata.metadata(PACKAGE).get_all("Provides-Extra") or [])
            if extra not in NOT_FOR_USERS
        }
        if is_installed
        else {},
    }


def _num_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _requirements(extra: str | None) -> list[str]:
    """Return the names of the packages that hf_vitret requires, or that one of its extras requires."""
    import re

    names = []
    for line in importlib.metadata.requires(PACKAGE) or []:
        requirement, _, marker = line.partition(";")
        if (extra is None and "extra ==" not in marker) or (
            extra is not None and f"'{extra}'" in marker.replace('"', "'")
        ):
            names.append(re.split(r"[\s<>=!~\[(]", requirement.strip())[0])
    return sorted(set(names))


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
