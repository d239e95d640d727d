"""The paper's table on real images at hand: off the shelf (IRT_O), contrastive (IRT_L), with KoLeo (IRT_R).

    python -m tests.benchmarks.claims.paper_table [--data emoji icons] [--steps 500 2000] [--seeds 3]

Each run in a process of its own; those that were made before, in `outputs/claims`, are read. Test classes are never
trained on, and nothing is chosen by them.
"""

import argparse
from pathlib import Path

from .one_run import ROOT, Run, perform_once
from .tables import table

LAMBDA = 0.7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=("emoji", "icons"), default=["emoji", "icons"])
    parser.add_argument("--steps", nargs="+", type=int, default=[500, 2_000], help="lengths of the schedule")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output_dir", type=Path, default=ROOT / "outputs" / "claims")
    options = parser.parse_args()
    for data in options.data:
        for steps in options.steps:
            runs = {
                "IRT_O": [Run(data, 0)],
                "IRT_L": [Run(data, steps, seed=seed) for seed in range(options.seeds)],
                "IRT_R": [Run(data, steps, koleo_weight=LAMBDA, seed=seed) for seed in range(options.seeds)],
            }
            values = {}
            for way, some in runs.items():
                values[way] = []
                for run in some:
                    facts, of_queries = perform_once(run, options.output_dir)
                    print(f"{run.name}: R@1 {100 * facts['scores']['recall_at_1']:.1f}", flush=True)
                    values[way].append(of_queries)
            print(f"\n{table(f'{data}, {steps:,} steps', values, 'IRT_L')}\n", flush=True)


if __name__ == "__main__":
    main()
