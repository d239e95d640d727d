"""The command line of a recipe: model and data settings beside the training arguments."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from transformers import HfArgumentParser

from ..models.configuration_vitret import POOLINGS, RESIZE_MODES
from ..models.modeling_vitret import ViTRetModel


@dataclass
class ModelArguments:
    """Which backbone becomes which retrieval model."""

    backbone: str = field(
        default="facebook/deit-small-distilled-patch16-224",
        metadata={"help": "Hub id or folder of a vision backbone, or of a ViTRet checkpoint to go on from."},
    )
    backbone_revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit on the Hub."})
    pooling: str = field(default="cls", metadata={"help": f"How tokens become one vector: {', '.join(POOLINGS)}."})
    embedding_dim: int | None = field(
        default=None, metadata={"help": "Length of the vector; default: the backbone's width, with no projection."}
    )
    gem_p: float = field(default=3.0, metadata={"help": "Exponent of GeM pooling."})
    gem_learnable: bool = field(default=False, metadata={"help": "Whether that exponent is trained."})
    image_size: int = field(default=224, metadata={"help": "Side in pixels of the image that the model sees."})
    resize_size: int | None = field(
        default=None, metadata={"help": "Side before the crop; default: 256/224 of image_size, as in the paper."}
    )
    resize_mode: str = field(
        default="shortest_edge", metadata={"help": f"What that side means: {' or '.join(RESIZE_MODES)}."}
    )
    attn_implementation: str | None = field(
        default=None, metadata={"help": "sdpa, eager, flash_attention_2...; default: the best available."}
    )

    def build(self) -> ViTRetModel:
        """Load the backbone and put the retrieval head on it."""
        return ViTRetModel.from_backbone(
            self.backbone,
            revision=self.backbone_revision,
            pooling=self.pooling,
            embedding_dim=self.embedding_dim,
            gem_p=self.gem_p,
            gem_learnable=self.gem_learnable,
            image_size=self.image_size,
            resize_size=self.resize_size,
            resize_mode=self.resize_mode,
            attn_implementation=self.attn_implementation,
        )


def parse_arguments(description: str | None, *classes: type, **defaults: Any) -> tuple[Any, ...]:
    """Read the command line into dataclasses.

    Args:
        description: Shown above the options by `--help`: a recipe's docstring.
        *classes: Dataclasses whose fields are the options.
        **defaults: What the recipe sets otherwise than the dataclasses do; an option still overrides it.

    Returns:
        One instance of each class.
    """
    parser = HfArgumentParser(list(classes), description=description)
    parser.set_defaults(**defaults)
    return tuple(parser.parse_args_into_dataclasses())


@contextmanager
def bad_input_as_message() -> Iterator[None]:
    """End the program with the message alone where the input is at fault: no traceback, exit status 1."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
