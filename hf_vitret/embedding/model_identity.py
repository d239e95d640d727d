"""Which model made the embeddings: vectors of another model, revision or processor are not comparable to them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from os import PathLike

# Fields that differ between copies of one model: where it was loaded from, by which release, in which type.
VOLATILE_FIELDS = frozenset(
    {
        "_attn_implementation",
        "_commit_hash",
        "_name_or_path",
        "architectures",
        "attn_implementation",
        "auto_map",
        "dtype",
        "image_processor_type",
        "processor_class",
        "torch_dtype",
        "transformers_version",
    }
)


@dataclass(frozen=True)
class ModelIdentity:
    """Which model it is: by name for people, by checksums of what decides its embeddings for programs.

    Attributes:
        name: Id on the Hub, or the last part of the folder's path; empty for a model that was never stored.
        revision: Commit on the Hub; `None` for a folder.
        weights_sha256: Of all weights as float32, by name: the same for a checkpoint stored in halves and loaded.
        config_sha256: Of the configuration, without what differs between copies.
        processor_sha256: Of the image processor's settings.
    """

    name: str
    revision: str | None
    weights_sha256: str
    config_sha256: str
    processor_sha256: str

    @classmethod
    def of(
        cls,
        model: nn.Module | str | PathLike[str],
        *,
        processor: Any = None,
        name: str | None = None,
        revision: str | None = None,
    ) -> ModelIdentity:
        """Identify a model.

        Args:
            model: A `ViTRetModel`, or another module with a `config`; or what `load_model` takes, a folder or an id on
                the Hub.
            processor: Its image processor. `None`: `model.image_processor`.
            name: What people call it: a folder's path, of which only the last part is kept, or an id on the Hub.
                `None`: where it was loaded from.
            revision: Branch, tag or commit on the Hub, where `model` is an id on it. The commit that it stands for is
                noted.

        Raises:
            ValueError: There is no image processor; or as `load_model`.
            OSError: There is no such model.
        """
        if not isinstance(model, nn.Module):
            from ..inference.load_model import load_model

            name, model = name or str(model), load_model(model, revision=revision)
        processor = getattr(model, "image_processor", None) if processor is None else processor
        if processor is None:
            raise ValueError(
                f"expected a model with an image_processor, as a ViTRetModel has; got {type(model).__name__} without "
                "one: pass processor=..., or wrap the backbone by ViTRetModel.from_backbone"
            )
        loaded_from, commit = _origin(model)
        config = getattr(model, "config", None)
        return cls(
            name=_short_name(loaded_from if name is None else name),
            revision=commit,
            weights_sha256=_hash_weights(model.state_dict()),
            config_sha256=_hash_fields({} if config is None else config.to_diff_dict()),
            processor_sha256=_hash_fields(processor.to_dict()),
        )

    def difference(self, other: ModelIdentity) -> list[str]:
        """Say in words what makes another model another one; empty where both give the same embeddings.

        Names and revisions count for nothing where weights, configuration and processor are the same.
        """
        parts = {"weights": "weights_sha256", "configuration": "config_sha256", "image processor": "processor_sha256"}
        found = [
            f"other {part} (SHA-256 {getattr(self, field)[:12]} and {getattr(other, field)[:12]})"
            for part, field in parts.items()
            if getattr(self, field) != getattr(other, field)
        ]
        if found and self.revision != other.revision:
            found.insert(0, f"another revision ({self.revision or 'none'} and {other.revision or 'none'})")
        if found and self.name != other.name:
            found.insert(0, f"another name ({self.name or 'none'} and {other.name or 'none'})")
        return found


def model_folder(model: nn.Module, name: str | None = None) -> Path | None:
    """Return the folder of this machine that a model was loaded from; `None` for one of the Hub or one never stored.

    Args:
        model: A `ViTRetModel`, or another module with a `config`.
        name: What it was loaded by; `None`: what its configuration notes.
    """
    loaded_from = _origin(model)[0] if name is None else name
    return Path(loaded_from) if loaded_from and Path(loaded_from).is_dir() else None


def _origin(model: nn.Module) -> tuple[str, str | None]:
    """Return where a model was loaded from, and the commit, both by transformers' own notes in its configuration."""
    config: Any = getattr(model, "config", None)
    backbone_config: Any = getattr(config, "backbone_config", None)
    for noted in (config, backbone_config):
        if getattr(noted, "_name_or_path", ""):
            return str(noted._name_or_path), getattr(noted, "_commit_hash", None)
    return "", None


def _short_name(name: str) -> str:
    """Return an id on the Hub as it is, and of a folder the last part: the rest is its maker's business."""
    path = Path(name)
    return path.resolve().name if name and (path.exists() or path.is_absolute()) else name


def _hash_weights(state: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu()
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _hash_fields(fields: Mapping[str, Any]) -> str:
    text = json.dumps(_without_volatile(fields), sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _without_volatile(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in VOLATILE_FIELDS and item is not None}
        return {key: _without_volatile(item) for key, item in kept.items()}
    if isinstance(value, (list, tuple)):
        return [_without_volatile(item) for item in value]
    return value
