"""The options that name a model and its settings, the same in every command that runs a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...workflows.evaluate.evaluation_choices import POOLINGS

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ...embedding.model_identity import ModelIdentity
    from ...models.modeling_vitret import ViTRetModel

MODEL_HELP = "folder or Hub id of a checkpoint, or of a plain vision backbone"
# Options that are arguments of `load_model`.
SETTINGS = ("revision", "pooling", "image_size", "device")


def add_model_options(parser: ArgumentParser, *, help: str = MODEL_HELP, required: bool = False) -> Any:
    """Add the options that name a model, its settings and its device.

    Args:
        parser: The parser of a command.
        help: Help of `--model`.
        required: Whether `--model` must be given.

    Returns:
        The argument group, for further options.
    """
    group = parser.add_argument_group("model")
    group.add_argument("-m", "--model", required=required, help=help)
    group.add_argument("--revision", help="branch, tag or commit of the model on the Hub")
    group.add_argument("--pooling", choices=POOLINGS, help="pooling of the tokens of a plain backbone; default: cls")
    group.add_argument("--image_size", type=int, help="side of the input image in pixels; default: that of the model")
    add_device_option(group)
    return group


def add_device_option(group: Any) -> None:
    """Add the option for the device of the model."""
    group.add_argument("--device", help="device of the model: cpu, cuda, cuda:1, mps; default: a GPU if there is one")


def model_settings(options: Namespace) -> dict[str, Any]:
    """Return the arguments of `load_model` that the user has given."""
    return {name: getattr(options, name) for name in SETTINGS if getattr(options, name, None) is not None}


def load_query_model(
    options: Namespace, known: ModelIdentity | None, location: str | None, whose: str = "the index"
) -> tuple[ViTRetModel, str]:
    """Load the model that embeds the queries: `--model`, or else the model of the index.

    Args:
        options: Parsed options of `add_model_options`.
        known: The identity of the model of the index; `None` if it is not known.
        location: The folder of that model when the index was built; `None` if it was not a folder.
        whose: The owner of the model in error messages.

    Returns:
        The model, and the folder or Hub id that it was loaded from.

    Raises:
        ValueError: There is no `--model`, and the model of the index is not found; or a setting does not fit the model.
        OSError: The model does not exist or cannot be read.
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
    missing = "has no known folder" if location is None else f"is no longer in {location}"
    raise ValueError(f"expected --model: the model of {whose}{named} {missing}. Give its folder or Hub id")
