"""The model that embeds the queries of an index: named on the command line, or by the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ...embedding.model_identity import ModelIdentity
    from ...models.modeling_vitret import ViTRetModel

_SETTINGS = ("revision", "backbone_pooling", "image_size")


def add_model_options(parser: ArgumentParser) -> None:
    """Add the options that name it."""
    parser.add_argument("--model", help="folder or Hub id of the index's model; default: where the index has it from")
    parser.add_argument("--revision", help="branch, tag or commit of the model; default: that of the index")
    parser.add_argument("--backbone_pooling", help="of a plain backbone, as it was embedded with; default: cls")
    parser.add_argument("--image_size", type=int, help="side in pixels that it was embedded with; default: the model's")


def load_query_model(
    options: Namespace, known: ModelIdentity | None, whose: str = "the index does not say where its model"
) -> tuple[ViTRetModel, str]:
    """Load the model, and say where it is from.

    Args:
        options: As read.
        known: The model that is wanted, where that is known.
        whose: For the error's message.

    Raises:
        ValueError: No model is named, and the one that is wanted was in a folder; or as for `load_model`.
        OSError: There is no such model.
    """
    from ...inference.load_model import load_model

    settings = {name: getattr(options, name) for name in _SETTINGS if getattr(options, name) is not None}
    if options.model:
        return load_model(options.model, **settings), options.model
    if known is None or known.revision is None:
        named = f", {known.name}" if known is not None and known.name else ""
        raise ValueError(f"expected --model: {whose}{named} is")
    return load_model(known.name, **{"revision": known.revision, **settings}), known.name
