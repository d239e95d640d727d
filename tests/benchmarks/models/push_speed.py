"""Time `publish_checkpoint` against a bare `upload_folder` of the same files, to the Hub stand-in, in turn.

Run it with `python -m tests.benchmarks.models.push_speed`. The checkpoint is a DeiT-S with random weights, some 90 MB.
Both make the repository and upload everything: the storage is emptied before each push. The checks of a release, its
tag and the requests that make a push safe to repeat are part of the first.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from tests.hub_stand_in.stand_in import running_hub

from ..harness.figures import Figure, record

LIMIT = 1.3
CLIENT = """
import json, sys, time
from pathlib import Path
from huggingface_hub import HfApi
from hf_vitret.hub.publish_checkpoint import publish_checkpoint
from hf_vitret.hub.release_files import release_files

folder, objects, rounds = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])

def bare(repo_id):
    hub = HfApi()
    hub.create_repo(repo_id, private=True)
    hub.upload_folder(repo_id=repo_id, folder_path=folder, allow_patterns=list(release_files(folder)))

seconds = {"publish_checkpoint": [], "upload_folder": []}
for number in range(rounds + 1):
    for name, push in (("publish_checkpoint", lambda repo_id: publish_checkpoint(folder, repo_id)),
                       ("upload_folder", bare)):
        for path in objects.iterdir():
            path.unlink()
        start = time.perf_counter()
        push(f"ada/{name}-{number}")
        seconds[name].append(time.perf_counter() - start)
print(json.dumps({name: times[1:] for name, times in seconds.items()}))
"""


def main() -> None:
    """Print the median of each, and the median of the ratios within a round; end with an error above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=9, help="timed rounds, after one that is thrown away")
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as scratch, running_hub(Path(scratch) / "hub") as hub:
        folder = Path(scratch) / "final"
        write_checkpoint(folder)
        size = sum(path.stat().st_size for path in folder.iterdir()) / 1e6
        said = hub.run(CLIENT, folder, hub.store.objects, str(repeats), token=hub.token).stdout
    seconds = json.loads(said.splitlines()[-1])
    ratio = statistics.median(ours / bare for ours, bare in zip(*seconds.values()))
    print(f"push of {size:.0f} MB to a Hub on this machine, median of {repeats} alternated rounds")
    for name, times in seconds.items():
        print(f"{name:<20}{statistics.median(times):>8.2f} s")
    print(f"{'ratio':<20}{ratio:>8.2f}   (limit {LIMIT})")
    bare = {"peer": "upload_folder", "peer_value": statistics.median(seconds["upload_folder"])}
    name = f"publish_checkpoint, {size:.0f} MB"
    record(Figure.of_repeats(name, seconds["publish_checkpoint"], "s", **bare, ratio=ratio, bar=LIMIT))
    if ratio > LIMIT:
        sys.exit(f"expected at most {LIMIT} times the bare upload; got {ratio:.2f}")


def write_checkpoint(folder: Path) -> None:
    """Write what a run leaves: weights, code, a card with a snippet, results."""
    from hf_vitret import ViTRetConfig, ViTRetModel

    ViTRetModel(ViTRetConfig()).save_pretrained(folder)
    (folder / "README.md").write_text('---\nlicense: mit\n---\n```python\nAutoModel.from_pretrained(".")\n```\n')
    (folder / "results.json").write_text(json.dumps({"log": [{"loss": step / 7} for step in range(2000)]}))


if __name__ == "__main__":
    main()
