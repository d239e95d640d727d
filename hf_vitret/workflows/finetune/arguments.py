"""The command line of a recipe: model and data settings beside the training arguments."""

import sys
from argparse import ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, HfArgumentParser

from ...inference.self_contained import check_self_contained
from ...models.configuration_vitret import POOLINGS, RESIZE_MODES, ViTRetConfig
from ...models.modeling_vitret import ViTRetModel
from ...training.trainable.drop_path import add_drop_path, has_own_drop_path
from ...training.trainable.freezing import freeze_backbone, freeze_blocks
from ...training.trainable.lora import add_lora

# What a ViTRet checkpoint decides where a run goes on from one.
CHECKPOINT_FIELDS = ("pooling", "embedding_dim", "gem_p", "gem_learnable", "image_size", "resize_size", "resize_mode")


class _HelpFormatter(ArgumentDefaultsHelpFormatter, RawDescriptionHelpFormatter):
    """Show each option's default, and a recipe's docstring line by line, as it is written."""


@dataclass
class ModelArguments:
    """Which backbone becomes which retrieval model."""

    backbone: str = field(
        default="facebook/deit-small-distilled-patch16-224",
        metadata={"help": "Hub id or folder of a vision backbone, or of a ViTRet checkpoint to go on from as it is."},
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
        default=None,
        metadata={"help": "sdpa, eager, flash_attention_2...; default: the best available, and eager on a CPU."},
    )

    drop_path_rate: float = field(
        default=0.0, metadata={"help": "Share of images that skip the last block in training; less in those before it."}
    )
    freeze_blocks: int = field(
        default=0, metadata={"help": "Blocks, counted from the input, that are left as they are; with the embeddings."}
    )
    head_only: bool = field(
        default=False,
        metadata={
            "help": "Train the projection alone, on the frozen backbone's output, computed once: needs --embedding_dim."
        },
    )
    lora_rank: int = field(
        default=0, metadata={"help": "Train adapters of this rank (LoRA) in place of the weights; 0: the weights."}
    )
    lora_alpha: float | None = field(default=None, metadata={"help": "Scale of the adapters; default: the rank."})
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout in front of the adapters."})

    def __post_init__(self) -> None:
        """Choose the attention that trains fastest on a CPU, where torch's fused one has a slow backward.

        A step of ViT-S in bf16, batch 64, two cores, took 0.46 s with sdpa and 0.30 s with eager at 56 px, 1.02 s and
        0.70 s at 98 px (torch 2.14).
        """
        if self.attn_implementation is None and not torch.accelerator.is_available():
            self.attn_implementation = "eager"

    @property
    def base_model(self) -> str | None:
        """Hub id of the backbone, for a model card; `None` where it is a folder on this machine."""
        return None if Path(self.backbone).exists() else self.backbone

    def build(self) -> Any:
        """Load the backbone and put the retrieval head on it, or load a ViTRet checkpoint with the head it has.

        Returns:
            A `ViTRetModel`, inside a `PeftModel` where adapters are asked for.

        Raises:
            ValueError: A setting is outside its domain, or is not that of the ViTRet checkpoint; or the backbone needs
                code of its own, or names files or code outside itself: none of it is run.
            OSError: There is no such backbone.
        """
        try:
            check_self_contained(self.backbone, self.backbone_revision)
            source = AutoConfig.from_pretrained(self.backbone, revision=self.backbone_revision, trust_remote_code=False)
        except OSError as error:  # transformers does not always say which model it was after
            raise OSError(f"expected a backbone in {self.backbone}, a folder or an id on the Hub: {error}") from error
        except ValueError as error:
            if "trust_remote_code" not in str(error):
                raise
            raise ValueError(
                f"{self.backbone} needs code of its own (auto_map in its config.json), which is not run here: choose a "
                "backbone that is native to transformers"
            ) from error
        if source.model_type == ViTRetConfig.model_type:
            return self._prepare(self._go_on(source))
        own = self.drop_path_rate > 0 and has_own_drop_path(getattr(source, "vision_config", source))
        model = ViTRetModel.from_backbone(
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
            backbone_overrides={"drop_path_rate": self.drop_path_rate} if own else None,
        )
        return self._prepare(model)

    def _prepare(self, model: ViTRetModel) -> Any:
        """Freeze, adapt and drop what the arguments ask for; the model comes back inside its adapters, if any."""
        asked = [name for name in ("head_only", "freeze_blocks", "lora_rank") if getattr(self, name)]
        if len(asked) > 1:
            raise ValueError(f"expected one of {', '.join(asked)}; got them together: each freezes other weights")
        if self.head_only and self.drop_path_rate:
            raise ValueError("expected no drop_path_rate with head_only, under which no block runs; leave it out")
        if self.head_only:
            freeze_backbone(model)
        freeze_blocks(model, self.freeze_blocks)
        adapted: Any = model
        if self.lora_rank:
            adapted = add_lora(model, rank=self.lora_rank, alpha=self.lora_alpha, dropout=self.lora_dropout)
        own_rate = getattr(model.config.backbone_config, "drop_path_rate", 0)
        if self.drop_path_rate and own_rate not in (0, self.drop_path_rate):
            raise ValueError(
                f"{self.backbone} has a drop_path_rate of {own_rate}; got {self.drop_path_rate}: leave it out"
            )
        if self.drop_path_rate and not own_rate:
            add_drop_path(adapted, self.drop_path_rate)
        return adapted

    def _go_on(self, config: ViTRetConfig) -> ViTRetModel:
        for name in CHECKPOINT_FIELDS:
            asked, kept = getattr(self, name), getattr(config, name)
            if asked not in (kept, getattr(ModelArguments, name)):
                raise ValueError(
                    f"{self.backbone} is a ViTRet checkpoint with {name} {kept}; got --{name} {asked}. Leave the "
                    "option out, or start from a plain backbone"
                )
        return ViTRetModel.from_pretrained(
            self.backbone,
            revision=self.backbone_revision or "main",
            dtype=torch.float32,
            attn_implementation=self.attn_implementation,
        )


def parse_arguments(description: str | None, *classes: Any, **defaults: Any) -> tuple[Any, ...]:
    """Read the command line into dataclasses.

    Args:
        description: Shown above the options by `--help`: a recipe's docstring.
        *classes: Dataclasses whose fields are the options.
        **defaults: What the recipe sets otherwise than the dataclasses do; an option still overrides it.

    Returns:
        One instance of each class.

    Raises:
        SystemExit: An option is unknown or its value outside its domain; the message alone is shown.
    """
    parser = HfArgumentParser(list(classes), description=description, formatter_class=_HelpFormatter)
    parser.set_defaults(**defaults)
    with bad_input_as_message():
        return tuple(parser.parse_args_into_dataclasses())


@contextmanager
def bad_input_as_message() -> Iterator[None]:
    """End the program with the message alone where the input is at fault: no traceback, exit status 1.

    The input: a value, a file or a data set or model of the Hub, a package that an option needs.
    """
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"error: {error}")
