"""Load a folder of embeddings into Qdrant, LanceDB or Milvus, on this machine or on a server.

  hf-vitret ingest embeddings --to qdrant --at catalogue.qdrant
  hf-vitret ingest embeddings --to lancedb --at catalogue.lance
  hf-vitret ingest embeddings --to milvus --at catalogue.db
  QDRANT_API_KEY=... hf-vitret ingest embeddings --to qdrant --at https://search.example.org:6333 --collection shoes

Reads the folder that hf-vitret embed wrote, a few thousand vectors at a time. An image that the collection already has
is replaced, so that the same command goes on after an interruption. A collection stores the identity of its model, and
embeddings of another model are refused. The metadata is loaded too, for the filters of the engine.
Secrets are read from the environment only: QDRANT_API_KEY, MILVUS_TOKEN, LANCEDB_API_KEY and those of buckets.
Exit status: 0 if the embeddings are loaded, 2 for bad input.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..output import add_output_options, labelled, output_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ...indexing.engines.loading import LoadReport

# Name of an engine -> module and function.
ENGINES = {
    "qdrant": ("hf_vitret.indexing.engines.qdrant", "to_qdrant"),
    "lancedb": ("hf_vitret.indexing.engines.lance", "to_lancedb"),
    "milvus": ("hf_vitret.indexing.engines.milvus", "to_milvus"),
}


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument("embeddings", metavar="EMBEDDINGS", help="folder that hf-vitret embed wrote")
    parser.add_argument("--to", choices=ENGINES, required=True, help="engine")
    parser.add_argument(
        "--at",
        metavar="LOCATION",
        required=True,
        help="folder (milvus: path that ends in .db) or address of a server (lancedb: also of a bucket)",
    )
    parser.add_argument("--collection", default="images", help="name of the collection; lancedb: of the table")
    add_output_options(parser)


def run(options: Namespace) -> int:
    """Load the embeddings, and print the counts; return 0."""
    module, function = ENGINES[options.to]
    load = getattr(import_module(module), function)
    report: LoadReport = load(options.embeddings, options.at, collection=options.collection)
    output_of(options).result(_text(report), report.to_json())
    return 0


def interruption(options: Namespace) -> str:
    """Describe what is kept after an interruption."""
    return f"the images loaded so far are in {options.collection} of {options.at}; the same command goes on"


def _text(report: LoadReport) -> str:
    model = report.facts.model
    where = f"{report.collection} of {report.engine} at {report.location}"
    return labelled(
        ("Loaded", f"{report.num_images:,} images into {where}, which holds {report.num_in_collection:,}"),
        ("Model", f"{model.name or 'without a name'}, {model.revision or 'no revision'}"),
    )
