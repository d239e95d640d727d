"""A small folder of embeddings with metadata, and programs that load it and are ended in the middle."""

import numpy as np

from tests.indexing.vectors import MODEL, unit_rows, write_folder
from tests.warm_process import run_warm

NUM_IMAGES = 120
ROWS, QUERIES = unit_rows(NUM_IMAGES), unit_rows(5, seed=1)
IDS = np.array([f"shop/{row:03d}" for row in range(NUM_IMAGES)])
PRICES = [row % 10 for row in range(NUM_IMAGES)]
COLORS = [("red", "blue", None)[row % 3] for row in range(NUM_IMAGES)]
IS_RED_AND_CHEAP = np.array([row % 3 == 0 and row % 10 < 4 for row in range(NUM_IMAGES)])


def write_catalogue(folder, rows=ROWS, ids=IDS, prices=PRICES, colors=COLORS, *, model=MODEL):
    return write_folder(folder, rows, ids, {"price": prices, "color": colors}, model=model)


def ended_after(num_blocks, call, folder):
    """Run a call in a process that ends, as by a power cut, when it asks for one block more of the folder."""
    program = f"""
import os
from hf_vitret.embedding.shards import EmbeddingFolder
from hf_vitret.indexing.engines import loading

def shards(folder, whole=EmbeddingFolder.shards):
    for number, block in enumerate(whole(folder)):
        if number == {num_blocks}:
            os._exit(9)
        yield block

def check(folder, whole=loading.check_folder_ids):
    whole(folder)
    EmbeddingFolder.shards = shards

loading.check_folder_ids = check
{call}
"""
    result = run_warm(program, folder=folder)
    assert result.returncode == 9, result.stderr
