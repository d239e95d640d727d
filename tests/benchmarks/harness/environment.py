"""On what something was measured: commit, machine, and versions."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import datasets
import numpy
import torch
import transformers

from tests import ROOT

# Peers and engines, which need not be there: by the names that they are installed under.
OTHERS = {
    "faiss": ("faiss-cpu", "faiss-gpu"),
    "onnxruntime": ("onnxruntime",),
    "sentence-transformers": ("sentence-transformers",),
    "pytorch-metric-learning": ("pytorch-metric-learning",),
}


def environment() -> dict[str, str | int]:
    """Say on what something is measured."""
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    compared = subprocess.run(["git", "diff", "--quiet", "HEAD"], cwd=ROOT, capture_output=True, check=False)
    return {
        "commit": os.environ.get("COMMIT") or asked.stdout.strip() or "unknown",
        "is_changed": compared.returncode == 1,  # since the commit, as far as git is there to tell
        "machine": torch.cuda.get_device_name() if torch.cuda.is_available() else _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "datasets": datasets.__version__,
        "numpy": numpy.__version__,
        **{name: _version(packages) for name, packages in OTHERS.items()},
    }


def _cpu() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(packages: tuple[str, ...]) -> str:
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return "not installed"
