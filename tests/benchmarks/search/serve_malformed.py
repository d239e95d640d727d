"""Malformed uploads to `hf-vitret serve`: is each refused with a 4xx, and does the server still answer?

Files that are cut short, changed, of other formats, of random bytes or of a size that would not fit into memory; and
bodies that are no forms. The server is a process of its own, of a tiny model; its resident size is Linux only.

Usage: python -m tests.benchmarks.search.serve_malformed [--uploads 200] [--seed 0]
"""

import argparse
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx

from tests.workflows.serving.malformed import malformed_uploads, multipart_bodies

from ..harness.figures import Figure, record
from ..harness.resident import MIB, resident
from .serve_load import running_server, write_index


def main() -> None:
    """Print how many answers had each status; exit with status 1 where one is no 4xx."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--uploads", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bodies = list(multipart_bodies(options.seed))
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent)
        write_index(folder, 32, is_tiny=True)
        whole = (folder / "photos" / "00.jpg").read_bytes()
        with running_server(folder) as (url, pid), httpx.Client(base_url=url, timeout=60) as client:

            def is_answering() -> bool:
                answer = client.post("/search", files={"image": whole})
                return answer.status_code == 200 and answer.json()["results"][0]["id"] == "00.jpg"

            assert is_answering()
            before, longest, wrong = resident(process=pid) / MIB, 0.0, []
            statuses: Counter[int] = Counter()
            requests = [
                (name, {"files": {"image": content}})
                for name, content in malformed_uploads(options.uploads - len(bodies), options.seed)
            ]
            requests += [
                (name, {"content": body, "headers": {"Content-Type": kind.encode("latin-1")}})
                for name, kind, body in bodies
            ]
            for name, request in requests:
                start = time.perf_counter()
                status = client.post("/search", **request).status_code
                longest = max(longest, time.perf_counter() - start)
                statuses[status] += 1
                if not 400 <= status < 500:
                    wrong.append(f"{name}: {status}")
            still_answers, after = is_answering(), resident(process=pid) / MIB
    print(f"malformed uploads          {len(requests)}, by status {dict(sorted(statuses.items()))}")
    print(f"longest                    {longest:.3f} s")
    print(f"resident, MiB              {before:.0f} before, {after:.0f} after")
    print(f"still answers              {'yes' if still_answers else 'NO'}")
    record(
        Figure("uploads that got no 4xx", len(wrong), f"of {len(requests)}", bar=0),
        Figure("searches lost after them", int(not still_answers), "of 1", bar=0),
        Figure("longest answer", longest, "s"),
        Figure("resident size after them", after, "MiB", peer="before them", peer_value=before),
        seed=options.seed,
    )
    if wrong or not still_answers:
        sys.exit(f"these were no 4xx: {'; '.join(wrong) or 'none, but the server does not answer'}")


if __name__ == "__main__":
    main()
