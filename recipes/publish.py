"""Publish a trained checkpoint on the Hub, with its card, pictures, results and exports.

Command:  python recipes/publish.py outputs/cub/final user/birds
          python recipes/publish.py outputs/cub/final user/birds --tag 2026-11 --no-private
Hardware: any; one process
Needs:    a token of the Hub that may write: hf auth login, or HF_TOKEN

The same as `hf-vitret publish`, whose --help says more; `hf-vitret export` writes what is exported.
"""

import sys

from hf_vitret.cli.main import main

if __name__ == "__main__":
    sys.exit(main(["publish", *sys.argv[1:]]))
