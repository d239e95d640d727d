"""Write a data set once as Parquet shards of small images, so that no epoch decodes large ones again.

  hf-vitret prepare sop --data_dir Stanford_Online_Products --output_dir sop-256
  hf-vitret prepare catalogue --data_dir products.csv --image_column file --label_column sku --output_dir products-256
  hf-vitret prepare --dataset_name user/photos --streaming --output_dir photos-256
  hf-vitret prepare sop --data_dir Stanford_Online_Products --output_dir sop-256 --push_to_hub user/sop-256

Train from it with recipes/train_catalogue.py --data_dir <output_dir>. The same command goes on with what an interrupted
one left, and pushes what it has not pushed yet. What is pushed is private, unless --no-private is given: the licences
of the field's data sets rarely allow more.
"""

from __future__ import annotations

import shlex
import sys
from argparse import BooleanOptionalAction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options.loader_options import add_loader_options, given_loader_options

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

CATALOGUE = "catalogue"  # what a data set of the Hub is loaded as


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ..data.image_checks import ON_BAD_IMAGE
    from ..data.loading import DATASETS
    from ..data.preparation.reencoding import DEFAULT_QUALITY, FORMATS

    names = ", ".join(sorted(DATASETS))
    parser.add_argument("dataset", nargs="?", help=f"name of the data set: {names}; none with --dataset_name")
    parser.add_argument("--data_dir", help="where it is: a folder, an archive or a table")
    parser.add_argument("--output_dir", required=True, help="folder to make")
    hub = parser.add_argument_group("a data set of the Hub")
    hub.add_argument("--dataset_name", help="its id, as user/photos, in place of a name and --data_dir")
    hub.add_argument("--dataset_config", help="its configuration, where it has several")
    hub.add_argument("--dataset_revision", help="branch, tag or commit; default: the newest commit")
    hub.add_argument("--streaming", action="store_true", help="keep no large image on the disk, only the small copies")
    loading = parser.add_argument_group("columns and splits")
    add_loader_options(loading)
    images = parser.add_argument_group("images")
    images.add_argument("--short_side", type=int, default=256, help="pixels; smaller images are not enlarged")
    images.add_argument("--image_format", choices=list(FORMATS), default="jpeg", help="how they are stored")
    images.add_argument("--quality", type=int, default=DEFAULT_QUALITY, help="of JPEG and WebP, 1 to 100")
    images.add_argument(
        "--on_bad_image",
        choices=ON_BAD_IMAGE,
        default=ON_BAD_IMAGE[0],
        help="stop at unreadable ones, or leave them out",
    )
    images.add_argument("--shard_size", type=int, default=256, help="MiB of images in one file")
    images.add_argument("--num_workers", type=int, help="threads; default: one per CPU, 16 at most")
    card = parser.add_argument_group("card and Hub")
    card.add_argument("--title", help="what a person calls the data set; default: its name")
    card.add_argument("--license", help="licence of the images: the Hub's name for it, or in words")
    card.add_argument("--push_to_hub", metavar="USER/NAME", help="also upload it to this repository")
    card.add_argument("--private", action=BooleanOptionalAction, default=True, help="whether only its owner may see it")


def run(options: Namespace) -> int:
    """Prepare, write the card and push; return 0."""
    from ..data.preparation.prepare import report_skipped
    from ..hub.dataset_card import write_dataset_card
    from ..hub.hub_client import find_token
    from ..hub.publish_dataset import publish_dataset

    given = _check(options)
    if options.push_to_hub:
        find_token()  # now, and not after hours
    settings = {name: getattr(options, name) for name in ("short_side", "image_format", "quality", "on_bad_image")}
    settings |= {"num_workers": options.num_workers, "shard_size": options.shard_size * 2**20}
    folder = _prepare_hub(options, given, settings) if options.dataset_name else _prepare(options, given, settings)
    title = options.title or options.dataset_name or folder.name
    card = write_dataset_card(folder, title=title, license=options.license or "", repo_id=options.push_to_hub)
    skipped = report_skipped(folder)
    sys.stdout.write(f"{skipped}\n" if skipped else "")
    sys.stdout.write(f"Prepared   {folder}\nCard       {card}\n")
    if options.push_to_hub:
        commit = publish_dataset(folder, options.push_to_hub, private=options.private)
        sys.stdout.write(f"Pushed     {options.push_to_hub}, commit {commit}\n")
    train = shlex.join(["accelerate", "launch", "recipes/train_catalogue.py", "--data_dir", str(folder)])
    sys.stdout.write(f"Next       {train}\n")
    return 0


def _check(options: Namespace) -> dict[str, Any]:
    """Check which options go together; return those for the loader."""
    if options.dataset_name and (options.data_dir or options.dataset not in (None, CATALOGUE)):
        raise ValueError(
            "--dataset_name names a data set of the Hub, in place of a name and --data_dir; got "
            f"{options.dataset_name!r} with {options.dataset or '--data_dir'}"
        )
    if not options.dataset_name and options.dataset is None:
        raise ValueError("expected the name of a data set and its --data_dir, or --dataset_name; got neither")
    given = given_loader_options(options, options.dataset or CATALOGUE)
    for_hub = [name for name in ("streaming", "dataset_config", "dataset_revision") if getattr(options, name)]
    if for_hub and not options.dataset_name:
        raise ValueError(f"--{for_hub[0]} is for a data set of the Hub: give its --dataset_name, or leave it out")
    unused = [name for name in ("test_fraction", "seed") if name in given]
    if options.streaming and unused:
        raise ValueError(
            f"--{unused[0]} halves the classes, which a stream does not know before its end: leave it out here, and "
            "give it when you train"
        )
    return given


def _prepare(options: Namespace, given: dict[str, Any], settings: dict[str, Any]) -> Path:
    """Prepare a data set of this machine, whose path is nobody else's business: its name is the source."""
    from ..data.loading import load_retrieval_dataset
    from ..data.preparation.prepare import prepare_dataset

    dataset = load_retrieval_dataset(options.dataset, data_dir=options.data_dir, **given)
    source = "" if options.dataset == CATALOGUE else options.dataset
    return prepare_dataset(dataset, options.output_dir, source=source, **settings)


def _prepare_hub(options: Namespace, given: dict[str, Any], settings: dict[str, Any]) -> Path:
    """Prepare a data set of the Hub, downloaded or streamed."""
    from ..data.catalogue.splits import SplitNames
    from ..data.catalogue.streaming import find_commit, name_source, prepare_stream
    from ..data.loading import load_retrieval_dataset
    from ..data.preparation.prepare import prepare_dataset

    commit = find_commit(options.dataset_name, options.dataset_revision)
    if not options.streaming:
        dataset = load_retrieval_dataset(
            CATALOGUE,
            dataset_name=options.dataset_name,
            dataset_config=options.dataset_config,
            revision=commit,
            **given,
        )
        source = name_source(options.dataset_name, options.dataset_config, commit)
        return prepare_dataset(dataset, options.output_dir, source=source, **settings)
    splits = {
        name: given[f"{name}_split"] for name in ("train", "test", "query", "gallery") if f"{name}_split" in given
    }
    columns = {name: given.get(f"{name}_column", name) for name in ("image", "label")}
    hub_options = {"revision": commit} | ({"name": options.dataset_config} if options.dataset_config else {})
    return prepare_stream(
        options.dataset_name, options.output_dir, SplitNames(**splits), columns, hub_options=hub_options, **settings
    )
