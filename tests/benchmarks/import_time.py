"""Time `import hf_vitret` against `import transformers; import torch`, whole processes, alternated.

Run it with `python -m tests.benchmarks.import_time`.
"""

import argparse
import statistics
import subprocess
import sys
import time

from .figures import Figure, record

STATEMENTS = [
    "import transformers; import torch",
    "pass",
    "import hf_vitret",
    "from hf_vitret import ViTRetConfig",
    "from transformers import AutoModel",
    "import hf_vitret; from transformers import AutoModel",
    "from hf_vitret import ViTRetModel",
]


def seconds(statement: str) -> float:
    """Time one whole Python process that runs the statement."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> None:
    """Print the median of each statement, and its ratio to the first one's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds, after one that is thrown away")
    repeats = parser.parse_args().repeats
    rounds = [[seconds(statement) for statement in STATEMENTS] for _ in range(repeats + 1)][1:]
    medians = [statistics.median(times) for times in zip(*rounds)]
    print(f"median of {repeats} alternated whole processes")
    print(f"{'statement':<55}{'seconds':>9}{'ratio':>8}")
    for statement, median in zip(STATEMENTS, medians):
        print(f"{statement:<55}{median:>9.3f}{median / medians[0]:>8.3f}")
    bare = {"peer": "transformers and torch", "peer_value": medians[0]}
    record(
        *(
            Figure.of_repeats(statement, times, "s", **bare, ratio=statistics.median(times) / medians[0])
            for statement, times in zip(STATEMENTS, zip(*rounds))
            if "hf_vitret" in statement
        )
    )


if __name__ == "__main__":
    main()
