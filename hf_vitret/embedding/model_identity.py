"""`ModelIdentity`: identifies the model that made embeddings, because those of different models are not comparable."""

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

# Fields that differ between copies of the same model: its source, the release that wrote it, and its dtype.
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
    """The name of a model, and checksums of everything that its embeddings depend on.

    Attributes:
        name: Id on the Hub, or the last part of the folder's path; empty for a model that was never saved.
        revision: Commit on the Hub; `None` for a folder.
        weights_sha256: SHA-256 of all weights as float32, by name: the same for a checkpoint in half precision and for
            the model loaded from it.
        config_sha256: SHA-256 of the configuration, without fields that differ between copies of the same model.
        processor_sha256: SHA-256 of the settings of the image processor.
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
            model: A `ViTRetModel`, or another module with a `config`; or a folder or Hub id that `load_model` loads.
            processor: Its image processor. `None`: `model.image_processor`.
            name: Name of the model: an id on the Hub, or the path of a folder, of which only the last part is kept.
                `None`: the folder or id from which it was loaded.
            revision: Branch, tag or commit on the Hub, if `model` is an id. The identity has its commit.

        Returns:
            The identity.

        Raises:
            ValueError: The model has no image processor, or its checkpoint is refused.
            OSError: There is no such model.
        """
        if not isinstance(model, nn.Module):
            from ..inference.load_model import load_model

            name, model = name or str(model), load_model(model, revision=revision)
        processor = getattr(model, "image_processor", None) if processor is None else processor
        if processor is None:
            raise ValueError(
                f"expected a model with an image_processor, like a ViTRetModel; got {type(model).__name__} without "
                "one: pass processor=..., or load the backbone with ViTRetModel.from_backbone"
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
        """Describe the differences from another model; empty if both give the same embeddings.

        Models with the same weights, configuration and image processor give the same embeddings. A different name or
        revision then is not a difference.

        Args:
            other: The identity of the other model.
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
    """Return the folder on this machine from which a model was loaded; `None` if it is on the Hub or was never saved.

    Args:
        model: A `ViTRetModel`, or another module with a `config`.
        name: Folder or Hub id from which it was loaded. `None`: the one in its configuration.
    """
    loaded_from = _origin(model)[0] if name is None else name
    return Path(loaded_from) if loaded_from and Path(loaded_from).is_dir() else None


def _origin(model: nn.Module) -> tuple[str, str | None]:
    """Return the folder or Hub id and the commit of a model, which transformers notes in the configuration."""
    config: Any = getattr(model, "config", None)
    backbone_config: Any = getattr(config, "backbone_config", None)
    for noted in (config, backbone_config):
        if getattr(noted, "_name_or_path", ""):
            return str(noted._name_or_path), getattr(noted, "_commit_hash", None)
    return "", None


def _short_name(name: str) -> str:
    """Return an id on the Hub unchanged, and the last part of the path of a folder, because the rest is private."""
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
