"""Run every benchmark, one process each, on a machine that does nothing else: `make bench`.

In the folder of results, `results.json` holds what each measured, on what and by which command, `tables.md` the same as
a table, and `ratios.png` its ratios. A benchmark that is not run again keeps what it measured before.

`python -m tests.benchmarks.claims`, what models score after the paper's and other recipes, takes hours and is not among
them.

Usage: python -m tests.benchmarks [training.loss_step "evaluation.evaluation --rivals" ...] [--report_only]
       [--output_dir outputs/benchmarks]
"""

import argparse
import datetime
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .harness.environment import ROOT, environment
from .harness.figures import FIGURES_FILE
from .harness.report import draw_ratios, tables, write_aside

BENCHMARKS = {
    "models.import_time": [],
    "training.loss_step": [],
    "evaluation.evaluation": ["--full"],
    "evaluation.sharded_evaluation": [],
    "search.search": [],
    "search.index_build": [],
    "search.serve_load": [],
    "search.serve_malformed": [],
    "search.embed_throughput": [],
    "search.embed_kills": [],
    "evaluation.revisited": [],
    "search.post_processing": [],
    "training.training_rivals": [],
    "training.step_memory": [],
    "data.image_pipeline": [],
    "data.data_wait": [],
    "data.resident_memory": [],
    "data.doctor": [],
    "data.listing": [],
    "training.distributed_gradient": [],
    "training.gradient_caching": [],
    "training.kill_and_resume": [],
    "models.push_speed": [],
    "models.load_time": [],
    "models.onnx_speed": [],
    "models.dinov2_small": [],
}


def run(name: str, options: list[str]) -> dict[str, Any]:
    """Run one benchmark in a process of its own; return what is known of it then."""
    module, found_on = f"tests.benchmarks.{name}", environment()
    with tempfile.TemporaryDirectory() as folder:
        lines = Path(folder) / "figures.jsonl"
        lines.touch()
        begin, date = time.perf_counter(), datetime.datetime.now(datetime.timezone.utc)
        ended = subprocess.run(
            [sys.executable, "-m", module, *options],
            cwd=ROOT,
            env={**os.environ, FIGURES_FILE: str(lines)},
            check=False,
        )
        return {
            "command": shlex.join(["python", "-m", module, *options]),
            "date": date.isoformat(timespec="seconds"),
            "seconds": round(time.perf_counter() - begin, 1),
            "exit_code": ended.returncode,
            "environment": found_on,
            "figures": [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()],
        }


def parse(description: str | None) -> tuple[dict[str, list[str]], argparse.Namespace]:
    """Read the options; return what is to be run, and them."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "benchmarks",
        nargs="*",
        metavar="BENCHMARK",
        help=f"what to run, if not all; in quotes, with options of its own. One of {', '.join(BENCHMARKS)}",
    )
    parser.add_argument("--output_dir", type=Path, default=ROOT / "outputs" / "benchmarks")
    parser.add_argument("--report_only", action="store_true", help="run nothing, and write table and picture again")
    options = parser.parse_args()
    chosen: dict[str, list[str]] = {}
    for asked in options.benchmarks:
        name, *own = shlex.split(asked) or [""]
        if name not in BENCHMARKS:
            parser.error(f"there is no benchmark {name!r}; expected one of {', '.join(BENCHMARKS)}")
        chosen[name] = own or BENCHMARKS[name]
    return {} if options.report_only else chosen or BENCHMARKS, options


def main() -> None:
    """Run what is asked for, and report on all that is known; exit with an error where a benchmark did."""
    chosen, options = parse(__doc__)
    options.output_dir.mkdir(parents=True, exist_ok=True)
    path, failed = options.output_dir / "results.json", []
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for name, own in chosen.items():
        print(f"\n== {name} {shlex.join(own)}", flush=True)
        results[name] = run(name, own)
        if results[name]["exit_code"]:
            failed.append(name)
        results = {known: results[known] for known in BENCHMARKS if known in results}
        write_aside(path, (json.dumps(results, indent=1, allow_nan=False) + "\n").encode())
    write_aside(options.output_dir / "tables.md", tables(results).encode())
    write_aside(options.output_dir / "ratios.png", draw_ratios(results))
    print(f"\n{path}, tables.md and ratios.png beside it")
    if failed:
        sys.exit(f"these ended with an error: {', '.join(failed)}")


if __name__ == "__main__":
    main()
