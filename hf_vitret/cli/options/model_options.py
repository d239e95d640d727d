"""The model: `--model` and what goes with it, the same in every command that runs one."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...workflows.evaluate.evaluation_choices import POOLINGS

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ...embedding.model_identity import ModelIdentity
    from ...models.modeling_vitret import ViTRetModel

MODEL_HELP = "folder or Hub id of a checkpoint, or of a plain vision backbone"
_POOLINGS = (
    "cls",
    "mean",
    "max",
    "gem",
)  # of models/configuration_vitret.py, which imports transformers; a test compares
# Handed on to `load_model`.
SETTINGS = ("revision", "pooling", "image_size", "device")


def add_model_options(parser: ArgumentParser, *, help: str = MODEL_HELP, required: bool = False) -> Any:
    """Add the options that name a model and where it runs; return their group, for further ones.

    Args:
        parser: Of a command.
        help: What `--model` is.
        required: Whether it must be given.
    """
    group = parser.add_argument_group("model")
    group.add_argument("-m", "--model", required=required, help=help)
    group.add_argument("--revision", help="branch, tag or commit of the model on the Hub")
    group.add_argument(
        "--pooling", choices=POOLINGS, help="of a plain backbone: how tokens become one vector; default: cls"
    )
    group.add_argument("--image_size", type=int, help="side in pixels of the image that it sees; default: the model's")
    add_device_option(group)
    return group


def add_device_option(group: Any) -> None:
    """Add the option that says where the model runs."""
    group.add_argument("--device", help="where it runs, as cpu, cuda, cuda:1 or mps; default: a GPU where there is one")


def model_settings(options: Namespace) -> dict[str, Any]:
    """Return the settings of `load_model` that were given."""
    return {name: getattr(options, name) for name in SETTINGS if getattr(options, name, None) is not None}


def load_query_model(
    options: Namespace, known: ModelIdentity | None, location: str | None, whose: str = "the index"
) -> tuple[ViTRetModel, str]:
    """Load the model that embeds queries: the one that is named, or the one that made the index.

    Args:
        options: As read.
        known: The model that is wanted, where that is known.
        location: Its folder, as it was noted when the index was made.
        whose: What wants it, for the error's message.

    Returns:
        The model, and where it is from.

    Raises:
        ValueError: No model is named, and the one that is wanted is nowhere to be found; or as for `load_model`.
        OSError: There is no such model.
    """
    from ...inference.load_model import load_model

    settings = model_settings(options)
    if options.model:
        return load_model(options.model, **settings), options.model
    if known is not None and known.revision is not None:
        return load_model(known.name, **{"revision": known.revision, **settings}), known.name
    if location is not None and Path(location).is_dir():
        return load_model(location, **settings), location
    named = f", {known.name}," if known is not None and known.name else ""
    missing = "has no noted folder on this machine" if location is None else f"is not in {location} any more"
    raise ValueError(f"expected --model: the model of {whose}{named} {missing}; name its folder or Hub id")
