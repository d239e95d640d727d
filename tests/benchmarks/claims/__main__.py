"""The paper's claims, the open question and other libraries, on real images: runs, tables, pictures.

    python -m tests.benchmarks.claims [STUDY ...] [--data emoji icons] [--seeds 3] [--processes 1] [--report_only]

Runs that were made before, in `--output_dir`, are kept: interrupted, the same command goes on. On a GPU `--processes`
takes several at a time, as small steps do not fill it. Test classes are never trained on, and nothing is chosen by
them. Writes `results.json`, `tables.md` and pictures into `--report_dir`.
"""

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from ..harness.environment import ROOT, environment
from ..harness.report import write_aside
from .perform import is_made, perform_all, read_facts
from .plots import draw_dimensions, draw_lengths, draw_spreads, paper_studies
from .run import Run
from .studies import STUDIES, Study
from .tables import grid, markdown, summarise


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"default: all of {', '.join(STUDIES)}")
    parser.add_argument("--data", nargs="+", choices=("emoji", "icons"), default=["emoji", "icons"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=1, help="runs at a time")
    parser.add_argument("--report_only", action="store_true", help="make no run, and report those that there are")
    parser.add_argument("--output_dir", type=Path, default=ROOT / "outputs" / "claims", help="where runs are kept")
    parser.add_argument("--report_dir", type=Path, default=ROOT / "outputs" / "claims" / "report")
    options = parser.parse_args()
    unknown = set(options.studies) - set(STUDIES)
    if unknown:
        parser.error(f"no study {', '.join(sorted(unknown))}; there are {', '.join(STUDIES)}")
    asked = [(data, STUDIES[name](data, options.seeds)) for name in options.studies or STUDIES for data in options.data]
    if not options.report_only:
        runs = [run for _, study in asked for run in study.runs]
        for name in perform_all(runs, options.output_dir, options.processes):
            print(f"made: {name}", flush=True)
    report(asked, options.seeds, options.output_dir, options.report_dir)


def report(asked: list[tuple[str, Study]], seeds: int, folder: Path, report_dir: Path) -> None:
    """Print the tables, and write them, the figures and the pictures."""
    report_dir.mkdir(parents=True, exist_ok=True)
    tables: list[str] = []
    summaries: list[dict[str, Any]] = []
    made: dict[Run, None] = {}  # in order, each once
    for data, study in asked:
        of_study = [run for run in study.runs if is_made(run, folder)]
        if made.keys() >= set(of_study):
            continue  # none, or the runs of another study alone, which would be the same table again
        made |= dict.fromkeys(of_study)
        for at in study.at:
            summary = summarise(study, at, folder)
            if summary is not None:
                summaries.append({"data": data, **summary})
                lay_out = grid if study.is_grid else markdown
                tables.append(lay_out(f"{study.question}: {data}, {at:,} steps", summary))
                print(f"\n{tables[-1]}", flush=True)
    environments = Counter(json.dumps(read_facts(run, folder)["environment"], sort_keys=True) for run in made)
    results = {
        "reported_on": environment(),
        "runs_made_on": [{"runs": count, **json.loads(made_on)} for made_on, count in environments.items()],
        "studies": summaries,
    }
    write_aside(report_dir / "results.json", (json.dumps(results, indent=1) + "\n").encode())
    write_aside(report_dir / "tables.md", ("\n\n".join(tables) + "\n").encode())
    written = ["results.json", "tables.md"]
    whole = paper_studies(seeds, folder)
    if whole:
        pictures = {
            "lengths": draw_lengths(whole, folder),
            "dimensions": draw_dimensions(whole, folder),
            **{f"spread_{data}": draw_spreads(study, folder) for data, study in whole.items()},
        }
        for name, figure in pictures.items():
            figure.savefig(report_dir / f"{name}.png", dpi=150)
            written.append(f"{name}.png")
    print(f"\nwritten to {report_dir}: {', '.join(written)}")


if __name__ == "__main__":
    main()
