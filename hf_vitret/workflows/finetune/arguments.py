"""`ModelArguments`: the settings of the model that a run trains, and the model itself."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig

from ...inference.find_checkpoint import find_checkpoint
from ...inference.self_contained import check_self_contained
from ...models.configuration_vitret import POOLINGS, RESIZE_MODES, ViTRetConfig
from ...models.modeling_vitret import ViTRetModel
from ...training.trainable.drop_path import add_drop_path, has_own_drop_path
from ...training.trainable.freezing import freeze_backbone, freeze_blocks
from ...training.trainable.lora import add_lora

# Settings that a ViTRet checkpoint has already: a run that starts from one cannot change them.
CHECKPOINT_FIELDS = ("pooling", "embedding_dim", "gem_p", "gem_learnable", "image_size", "resize_size", "resize_mode")


@dataclass
class ModelArguments:
    """Which backbone becomes which retrieval model, and which of its weights are trained."""

    _argument_group_name = "model"

    model: str = field(
        default="facebook/deit-small-distilled-patch16-224",
        metadata={
            "help": "Folder or Hub id of a vision backbone, or of a ViTRet checkpoint to train further.",
            "aliases": ["-m"],
        },
    )
    revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of the model on the Hub."})
    pooling: str = field(
        default="cls",
        metadata={"help": f"How the tokens of a plain backbone become one vector: {', '.join(POOLINGS)}."},
    )
    embedding_dim: int | None = field(
        default=None,
        metadata={"help": "Length of the embedding; default: the width of the backbone, with no projection."},
    )
    gem_p: float = field(default=3.0, metadata={"help": "Exponent of gem pooling."})
    gem_learnable: bool = field(default=False, metadata={"help": "Whether that exponent is trained."})
    image_size: int = field(default=224, metadata={"help": "Side in pixels of the image that the model sees."})
    resize_size: int | None = field(
        default=None,
        metadata={"help": "Side in pixels before the crop; default: 256/224 of image_size, as in the paper."},
    )
    resize_mode: str = field(
        default="shortest_edge", metadata={"help": f"What resize_size is the side of: {' or '.join(RESIZE_MODES)}."}
    )
    attn_implementation: str | None = field(
        default=None,
        metadata={
            "help": "Attention: sdpa, eager, flash_attention_2...; default: the best one available, and eager on a CPU."
        },
    )

    drop_path_rate: float = field(
        default=0.0,
        metadata={"help": "Probability that a training image skips the last block; it falls to 0 at the first block."},
    )
    freeze_blocks: int = field(
        default=0,
        metadata={
            "help": "Number of blocks, from the input on, that are not trained; nor are the embeddings before them."
        },
    )
    head_only: bool = field(
        default=False,
        metadata={
            "help": "Train the projection alone, on outputs of the frozen backbone that are computed once; needs "
            "--embedding_dim."
        },
    )
    lora_rank: int = field(
        default=0,
        metadata={"help": "Rank of adapters (LoRA) that are trained in place of the weights; 0: train the weights."},
    )
    lora_alpha: float | None = field(
        default=None, metadata={"help": "Scale of the adapters (alpha of LoRA); default: lora_rank."}
    )
    lora_dropout: float = field(default=0.0, metadata={"help": "Dropout rate in front of the adapters."})

    def __post_init__(self) -> None:
        """Choose the attention that trains fastest on a CPU, where torch's fused one has a slow backward.

        A step of ViT-S in bf16, batch 64, two cores, took 0.46 s with sdpa and 0.30 s with eager at 56 px, 1.02 s and
        0.70 s at 98 px (torch 2.14).
        """
        if self.attn_implementation is None and not torch.accelerator.is_available():
            self.attn_implementation = "eager"
        for name, needed in (("lora_alpha", "lora_rank"), ("lora_dropout", "lora_rank")):
            if getattr(self, name) and not getattr(self, needed):
                raise ValueError(f"expected --{needed} with --{name}, which is a setting of it; give both, or neither")

    @property
    def base_model(self) -> str | None:
        """Hub id of the backbone, for a model card; `None` where it is a folder on this machine."""
        return None if Path(self.model).exists() else self.model

    def build(self) -> Any:
        """Load the backbone and add the retrieval head, or load a ViTRet checkpoint with its own head.

        Returns:
            A `ViTRetModel`; with `lora_rank` a `PeftModel` that contains it.

        Raises:
            ValueError: A setting is outside its domain or differs from that of the ViTRet checkpoint; or the backbone
                needs code of its own, or refers to files or code outside itself. None of that code is run.
            OSError: The model does not exist.
        """
        self.model = find_checkpoint(self.model)
        try:
            check_self_contained(self.model, self.revision)
            source = AutoConfig.from_pretrained(self.model, revision=self.revision, trust_remote_code=False)
        except OSError as error:  # the message of transformers does not always name the model
            raise OSError(f"expected a model in {self.model}, a folder or an id on the Hub: {error}") from error
        except ValueError as error:
            if "trust_remote_code" not in str(error):
                raise
            raise ValueError(
                f"{self.model} needs code of its own (auto_map in its config.json), which is not run here: choose a "
                "backbone that is native to transformers"
            ) from error
        if self.revision is not None and Path(self.model).exists():
            raise ValueError(f"expected --revision with a model of the Hub; got the folder {self.model}: leave it out")
        if source.model_type == ViTRetConfig.model_type:
            return self._prepare(self._load_checkpoint(source))
        if self.pooling != "gem" and (self.gem_p != ModelArguments.gem_p or self.gem_learnable):
            raise ValueError(f"expected --pooling gem with --gem_p and --gem_learnable; got --pooling {self.pooling}")
        own = self.drop_path_rate > 0 and has_own_drop_path(getattr(source, "vision_config", source))
        model = ViTRetModel.from_backbone(
            self.model,
            revision=self.revision,
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

    def find_resize_size(self) -> int:
        """Return the side in pixels to which the model resizes images."""
        if self.resize_size is not None:
            return self.resize_size
        self.model = find_checkpoint(self.model)
        check_self_contained(self.model, self.revision)
        source = AutoConfig.from_pretrained(self.model, revision=self.revision, trust_remote_code=False)
        if source.model_type == ViTRetConfig.model_type:
            return int(source.resize_size)
        return int(ViTRetConfig(image_size=self.image_size).resize_size)

    def _prepare(self, model: ViTRetModel) -> Any:
        """Apply freezing, adapters and drop path; return the model, or the `PeftModel` around it."""
        asked = [name for name in ("head_only", "freeze_blocks", "lora_rank") if getattr(self, name)]
        if len(asked) > 1:
            raise ValueError(
                f"expected one of {', '.join(asked)}; got several: each freezes other weights; leave out all but one"
            )
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
                f"{self.model} has a drop_path_rate of {own_rate}; got {self.drop_path_rate}: leave it out"
            )
        if self.drop_path_rate and not own_rate:
            add_drop_path(adapted, self.drop_path_rate)
        return adapted

    def _load_checkpoint(self, config: ViTRetConfig) -> ViTRetModel:
        """Load a ViTRet checkpoint, unless a setting differs from the checkpoint's."""
        for name in CHECKPOINT_FIELDS:
            asked, kept = getattr(self, name), getattr(config, name)
            if asked not in (kept, getattr(ModelArguments, name)):
                raise ValueError(
                    f"{self.model} is a ViTRet checkpoint with {name} {kept}; got --{name} {asked}. Leave the "
                    "option out, or start from a plain backbone"
                )
        return ViTRetModel.from_pretrained(
            self.model,
            revision=self.revision or "main",
            dtype=torch.float32,
            attn_implementation=self.attn_implementation,
        )
