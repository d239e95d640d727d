"""Serve an index: a web page and an API that find the images most similar to an uploaded one.

  hf-vitret serve index
  hf-vitret serve index --model outputs/photos/final --image_dir photos
  hf-vitret serve index --port 9000 --min_score 0.6 --columns color price
  curl -F image=@photo.jpg -F k=5 -F where=color=red http://127.0.0.1:8000/search

The server answers this machine only, unless you set --host. It has no accounts and no encryption: put a proxy with both
in front of it before others may use it. The model is that of the index, from its folder or the Hub, or else --model.
Another model, revision or image processor than that of the index is refused.
The server runs until Ctrl-C or SIGTERM, and finishes the requests that it has begun.
Exit status: 0 after SIGTERM, 130 after Ctrl-C, 2 for bad input.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..options.model_options import add_model_options, load_query_model
from ..options.sizes import size, size_text
from ..options.threshold_options import add_threshold_options, lowest_score
from ..output import add_output_options, output_of
from ..progress import hide_loading

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ...workflows.serving.settings import ServingSettings
    from ..output import Output


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    from ...embedding.choices import COMPUTE_DTYPES
    from ...workflows.serving.settings import MEGAPIXEL, ServingSettings

    parser.add_argument("index", metavar="INDEX", help="folder that hf-vitret index wrote")
    model = add_model_options(parser, help="folder or Hub id of the model; default: that of the index")
    model.add_argument(
        "--dtype", choices=COMPUTE_DTYPES, default="auto", help="precision of the model; auto: the faster one"
    )
    address = parser.add_argument_group("address")
    address.add_argument(
        "--host", default="127.0.0.1", help="address to listen on; 0.0.0.0: all addresses of this machine"
    )
    address.add_argument("--port", type=int, default=8000, help="port to listen on; 0: a free one")
    address.add_argument(
        "--allowed_hosts",
        nargs="+",
        metavar="NAME",
        help="host names that requests may use; default: any, or those of this machine if only it is answered",
    )
    shown = parser.add_argument_group("results")
    shown.add_argument("--image_dir", help="folder of the images; default: the folder from which they were embedded")
    shown.add_argument("--columns", nargs="+", help="metadata that is shown and can be filtered; default: all")
    shown.add_argument("--title", default="Search by image", help="title of the page")
    add_threshold_options(parser)
    limits = parser.add_argument_group("limits")
    default = ServingSettings()
    limits.add_argument(
        "--max_upload",
        type=size,
        default=size_text(default.max_upload_bytes),
        metavar="SIZE",
        help="largest size of an upload",
    )
    limits.add_argument(
        "--max_megapixels",
        type=float,
        default=default.max_pixels / MEGAPIXEL,
        help="largest number of pixels of an uploaded image, in millions",
    )
    limits.add_argument(
        "--max_batch",
        type=int,
        default=default.max_batch,
        help="largest number of images that the model embeds at once",
    )
    limits.add_argument(
        "--max_wait",
        type=float,
        default=default.max_wait,
        help="seconds that an image waits for others to be embedded with it",
    )
    limits.add_argument(
        "--max_waiting",
        type=int,
        default=default.max_waiting,
        help="largest number of searches at the same time; more are answered with status 503",
    )
    limits.add_argument("--timeout", type=float, default=default.timeout, help="longest time of a search in seconds")
    limits.add_argument(
        "--upload_timeout", type=float, default=default.upload_timeout, help="longest time of an upload in seconds"
    )
    limits.add_argument("--num_threads", type=int, help="threads that decode images; default: one per CPU, at most 16")
    add_output_options(parser, has_result=False)


def run(options: Namespace) -> int:
    """Load the index and the model, print the address, and serve until the end."""
    from ...embedding.model_identity import ModelIdentity
    from ...indexing.image_index import ImageIndex
    from ...workflows.serving.app import check_packages, create_app
    from ...workflows.serving.run_server import LOCAL_HOSTS, is_loopback, listen, run_server, url_of

    check_packages()
    output, settings = output_of(options), _settings(options)
    if not options.verbose:
        hide_loading()
    is_local = is_loopback(options.host)
    with listen(options.host, options.port) as listener:  # before anything that takes long
        index = ImageIndex.load(options.index)
        locations = index.manifest.locations
        model, source = load_query_model(options, index.manifest.model, locations.get("model"))
        app = create_app(
            index,
            model,
            image_dir=_image_dir(options, locations.get("images"), output),
            settings=settings,
            identity=ModelIdentity.of(model, name=source),
            columns=options.columns,
            min_score=lowest_score(options, index),
            title=options.title,
            dtype=options.dtype,
            allowed_hosts=options.allowed_hosts or (LOCAL_HOSTS if is_local else ("*",)),
        )
        url = url_of(listener)
        who = "this machine only" if is_local else "EVERY MACHINE THAT REACHES IT, without accounts or encryption"
        output.say(f"{len(index):,} images, searched with {source}, for {who}. Ctrl-C ends it.")
        output.say(f"API: {url}/openapi.json, state: {url}/health, {url}/metrics")
        output.result(f"Page: {url}", None)
        run_server(app, listener, settings)
    return 0


def _image_dir(options: Namespace, noted: str | None, output: Output) -> str | None:
    """Return the folder of the indexed images; `None` if they are not on this machine."""
    if options.image_dir or noted is None or Path(noted).is_dir():
        return options.image_dir or noted
    output.say(f"No pictures are shown: the images of the index are not in {noted} any more. --image_dir names them.")
    return None


def interruption(options: Namespace) -> str:
    """Describe what is kept after an interruption."""
    return "the server has finished the requests that it had begun, and keeps nothing"


def _settings(options: Namespace) -> ServingSettings:
    from ...data.in_order import default_threads
    from ...workflows.serving.settings import MEGAPIXEL, ServingSettings

    return ServingSettings(
        max_upload_bytes=options.max_upload,
        max_pixels=int(options.max_megapixels * MEGAPIXEL),
        max_batch=options.max_batch,
        max_wait=options.max_wait,
        max_waiting=options.max_waiting,
        timeout=options.timeout,
        upload_timeout=options.upload_timeout,
        num_threads=default_threads() if options.num_threads is None else options.num_threads,
    )
