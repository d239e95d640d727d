"""Time imports against what transformers itself needs for the like, whole processes, alternated.

`AutoModel` beside our import brings our model class, and with it what every model of transformers needs: what the first
`from_pretrained` would load a moment later.

Run it with `python -m tests.benchmarks.models.import_time`.
"""

import argparse
import statistics
import subprocess
import sys
import time

from ..harness.figures import Figure, record

# Each with its peer: what every configuration, and every model, of transformers' kind loads.
STATEMENTS = {
    "import hf_vitret": "import transformers; import torch",
    "from hf_vitret import ViTRetConfig": "from transformers import AutoConfig, PretrainedConfig",
    "import hf_vitret; from transformers import AutoModel": "from transformers import AutoModel",
    "from hf_vitret import ViTRetModel": "from transformers import AutoModel, PreTrainedModel",
}


def seconds(statement: str) -> float:
    """Time one whole Python process that runs the statement."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - start


def main() -> None:
    """Print the median of each statement, and its ratio to its peer's."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds, after one that is thrown away")
    repeats = parser.parse_args().repeats
    every = [*STATEMENTS, *STATEMENTS.values()]
    rounds = [[seconds(statement) for statement in every] for _ in range(repeats + 1)][1:]
    times = dict(zip(every, zip(*rounds)))
    medians = {statement: statistics.median(found) for statement, found in times.items()}
    print(f"median of {repeats} alternated whole processes")
    print(f"{'statement':<55}{'seconds':>9}{'peer':>9}{'ratio':>8}  peer")
    figures = []
    for statement, peer in STATEMENTS.items():
        own, other = medians[statement], medians[peer]
        print(f"{statement:<55}{own:>9.3f}{other:>9.3f}{own / other:>8.3f}  {peer}")
        figures.append(
            Figure.of_repeats(statement, times[statement], "s", peer=peer, peer_value=other, ratio=own / other)
        )
    record(*figures)


if __name__ == "__main__":
    main()
