"""Write a data set once as Parquet shards of small images, so that no epoch decodes large ones again.

  hf-vitret prepare photos --output_dir photos-256
  hf-vitret prepare sop --data_dir Stanford_Online_Products --output_dir sop-256
  hf-vitret prepare products.csv --image_column file --label_column sku --output_dir products-256
  hf-vitret prepare user/photos --streaming --output_dir photos-256
  hf-vitret prepare photos --output_dir photos-256 --push_to_hub user/photos-256

Train from it with hf-vitret train <output_dir>. The same command goes on with what an interrupted one left, and pushes
what it has not pushed yet. What is pushed is private, unless --no-private is given: the licences of the field's data
sets rarely allow more.
Exit status: 0 where it is written, 1 where images were left out, 2 for bad input.
"""

from __future__ import annotations

from argparse import BooleanOptionalAction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..options.data_options import ChosenData, add_data_options, choose_data
from ..options.sizes import size
from ..output import add_output_options, labelled, output_of

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

LEFT_OUT = 1  # exit status


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ...data.image_checks import ON_BAD_IMAGE
    from ...data.preparation.reencoding import DEFAULT_QUALITY, FORMATS

    add_data_options(parser)
    parser.add_argument("-o", "--output_dir", required=True, help="folder to make")
    parser.add_argument(
        "--streaming", action="store_true", help="Hub: keep no large image on the disk, only small copies"
    )
    images = parser.add_argument_group("images")
    images.add_argument("--short_side", type=int, default=256, help="pixels; smaller images are not enlarged")
    images.add_argument("--image_format", choices=list(FORMATS), default="jpeg", help="format in which they are stored")
    images.add_argument("--quality", type=int, help=f"of JPEG and WebP, 1 to 100; default: {DEFAULT_QUALITY}")
    images.add_argument(
        "--on_bad_image",
        choices=ON_BAD_IMAGE,
        default=ON_BAD_IMAGE[0],
        help="stop at unreadable images, leave them out, or complete truncated JPEG files and leave the others out",
    )
    images.add_argument(
        "--shard_size",
        type=size,
        default="256MiB",
        metavar="SIZE",
        help="size of the images in one file, such as 500MB",
    )
    images.add_argument("--num_threads", type=int, help="threads; default: one per CPU, 16 at most")
    card = parser.add_argument_group("card and Hub")
    card.add_argument("--title", help="title of the data set; default: its name")
    card.add_argument("--license", help="licence of the images, as the Hub spells it or in words")
    card.add_argument("--push_to_hub", metavar="USER/NAME", help="also upload it to this repository")
    card.add_argument("--private", action=BooleanOptionalAction, default=True, help="whether only its owner may see it")
    add_output_options(parser)


def run(options: Namespace) -> int:
    """Prepare, write the card and push; return 1 where images were left out."""
    from ...data.catalogue.left_out import describe_left_out
    from ...data.preparation.prepare import report_mended, report_skipped
    from ...data.preparation.prepared_folder import read_manifest
    from ...data.preparation.reencoding import DEFAULT_QUALITY
    from ...hub.dataset_card import write_dataset_card
    from ...hub.hub_client import find_token
    from ...hub.publish_dataset import publish_dataset

    output = output_of(options)
    chosen = choose_data(options, options.data)
    _check(options, chosen)
    if options.push_to_hub:
        find_token()  # before the work, which may take hours
    settings = {name: getattr(options, name) for name in ("short_side", "image_format", "on_bad_image", "shard_size")}
    settings |= {"num_workers": options.num_threads, "quality": options.quality or DEFAULT_QUALITY}
    folder = _prepare(options, chosen, settings)
    card = write_dataset_card(
        folder, title=options.title or chosen.title, license=options.license or "", repo_id=options.push_to_hub
    )
    skipped, manifest = report_skipped(folder), read_manifest(folder)
    mended = report_mended(folder)
    files = manifest.get("left_out_files", [])
    lines = [("Not used", line) for line in describe_left_out(files)]
    lines += [("Prepared", str(folder)), ("Card", str(card))]
    facts: dict[str, Any] = {"output_dir": str(folder), "card": str(card), "splits": manifest["splits"]}
    facts |= {"left_out_files": files}
    if options.push_to_hub:
        commit = publish_dataset(folder, options.push_to_hub, private=options.private)
        lines.append(("Published", f"{options.push_to_hub}, commit {commit}"))
        facts |= {"repository": options.push_to_hub, "commit": commit}
    output.result("\n".join([*filter(None, [skipped, mended]), labelled(*lines)]), facts)
    # A folder with the training split alone would be split again.
    everything = ["--test_fraction", "0"] if options.test_fraction == 0 else []
    output.next(["hf-vitret", "train", folder, *everything])
    return LEFT_OUT if skipped or any(one["is_image"] for one in files) else 0


def interruption(options: Namespace) -> str:
    """Say what an interrupted preparation leaves."""
    return f"the finished shards of {options.output_dir} are kept; the same command goes on"


def _check(options: Namespace, chosen: ChosenData) -> None:
    """Check which options go together."""
    if options.streaming and chosen.location.hub_id is None:
        raise ValueError("expected --streaming with a data set of the Hub only, user/name; leave it out")
    unused = [name for name in ("test_fraction", "split_seed") if getattr(options, name) is not None]
    if options.streaming and unused:
        raise ValueError(
            f"expected no --{unused[0]} with --streaming, which does not know the classes before its end: leave it out "
            "here, and give it when you train"
        )
    if options.quality is not None and options.image_format == "png":
        raise ValueError("expected no --quality with --image_format png, which loses nothing: leave it out")
    if options.allow_outside and options.push_to_hub:
        raise ValueError(
            "expected no --allow_outside with --push_to_hub, which would publish any file of this machine that the "
            "data set names: leave one of the two out"
        )
    if not options.private and not options.push_to_hub:
        raise ValueError("expected --push_to_hub with --no-private: nothing is published without it")


def _prepare(options: Namespace, chosen: ChosenData, settings: dict[str, Any]) -> Path:
    """Prepare a data set of this machine, or one of the Hub, downloaded or streamed."""
    from ...data.catalogue.left_out import collecting
    from ...data.catalogue.splits import SplitNames
    from ...data.catalogue.streaming import find_commit, name_source, prepare_stream
    from ...data.locating import OWN
    from ...data.preparation.prepare import prepare_dataset

    hub_id = chosen.location.hub_id
    if hub_id is None:  # a path of this machine is private: only a name is noted as the source
        source = "" if chosen.name == OWN else chosen.name
        with collecting() as left_out:
            dataset = chosen.load()
        return prepare_dataset(dataset, options.output_dir, source=source, left_out=left_out.to_json(), **settings)
    commit = find_commit(hub_id, options.dataset_revision)
    if not options.streaming:
        source = name_source(hub_id, options.dataset_config, commit)
        return prepare_dataset(chosen.load(revision=commit), options.output_dir, source=source, **settings)
    given = chosen.options
    splits = {
        name: given[f"{name}_split"] for name in ("train", "test", "query", "gallery") if f"{name}_split" in given
    }
    columns = {name: given.get(f"{name}_column", name) for name in ("image", "label")}
    hub_options = {"revision": commit} | ({"name": options.dataset_config} if options.dataset_config else {})
    settings["allow_outside"] = options.allow_outside
    return prepare_stream(
        hub_id, options.output_dir, SplitNames(**splits), columns, hub_options=hub_options, **settings
    )
