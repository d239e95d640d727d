"""The files by which `SentenceTransformer` loads a checkpoint, with the vectors that the checkpoint itself gives."""

from __future__ import annotations

import shutil
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from ...files.atomic_folders import whole_folder
from ...files.json_values import write_json
from ...inference.self_contained import check_self_contained
from ...models.modeling_vitret import POOLED_NORMS, ViTRetModel, _backbone_kwargs
from .endpoint import check_is_checkpoint
from .recorded import record_format

MODULES_FOLDER = "sentence_transformers"
TRANSFORMER_FILE = "sentence_bert_config.json"
MODULE_TYPES = {
    "transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "projection": "sentence_transformers.base.modules.dense.Dense",
    "normalize": "sentence_transformers.base.modules.normalize.Normalize",
}
# The release that these files are written for; an older one warns when it reads them.
WRITTEN_FOR = "6.0.0"


def write_sentence_transformers(folder: str | PathLike[str], *, copy_weights: bool | None = None) -> bool:
    """Write `modules.json` and what it names beside a checkpoint, and tell it on its card.

    There are two forms. In the first, sentence-transformers' own modules do it all (Transformer, Pooling, Dense,
    Normalize): no code of the repository runs, and the backbone's weights are in the folder a second time, because the
    library loads a plain backbone from a folder of its own; who loads it so downloads that copy alone. In the second,
    its Transformer loads the checkpoint as it is and takes the embeddings from it: a few hundred bytes, any pooling,
    and what sentence-transformers trains and saves stays a checkpoint for all ways; but it needs
    `SentenceTransformer(..., trust_remote_code=True)`, as `AutoModel` does.

    Args:
        folder: A checkpoint that `ViTRetModel.save_pretrained` wrote. What an earlier call wrote is replaced.
        copy_weights: True for the first form, False for the second; None for the first where it can be had.

    Returns:
        Whether `SentenceTransformer` needs `trust_remote_code=True` to load the folder.

    Raises:
        ValueError: The first form is asked for, and the library has no modules for the model; the message says why. Or
            the checkpoint names files or code outside itself.
        FileNotFoundError: There is no checkpoint in the folder.
    """
    target = Path(folder)
    check_is_checkpoint(target)
    check_self_contained(target)
    model = ViTRetModel.from_pretrained(target)
    obstacle = why_not_own_modules(model)
    if copy_weights and obstacle:
        raise ValueError(f"{obstacle}: leave copy_weights out, and load with trust_remote_code=True")
    # Nothing names the parts while they change.
    for name in ("modules.json", TRANSFORMER_FILE):
        (target / name).unlink(missing_ok=True)
    shutil.rmtree(target / MODULES_FOLDER, ignore_errors=True)
    needs_code = obstacle is not None or copy_weights is False
    if needs_code:
        _write_json(target / TRANSFORMER_FILE, _transformer("embeddings", "sentence_embedding"))
        paths = {"transformer": ""}
    else:
        with whole_folder(target / MODULES_FOLDER) as partial:
            names = _write_own_modules(model, partial)
        paths = {name: f"{MODULES_FOLDER}/{name}" for name in names}
    settings = {
        "model_type": "SentenceTransformer",
        "__version__": {"sentence_transformers": WRITTEN_FOR},
        "prompts": {},
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }
    _write_json(target / "config_sentence_transformers.json", settings)
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": MODULE_TYPES[name]}
        for number, (name, path) in enumerate(paths.items())
    ]
    _write_json(target / "modules.json", modules)
    record_format(target, "sentence-transformers", needs_code=needs_code)
    return needs_code


def why_not_own_modules(model: ViTRetModel) -> str | None:
    """Say why sentence-transformers' own modules cannot do what a model does; None where they can."""
    config = model.config
    kind = config.backbone_config.model_type
    trained_side = getattr(config.backbone_config, "image_size", config.image_size)
    if config.pooling == "gem":
        return "sentence-transformers has no module for GeM pooling"
    if kind in POOLED_NORMS:
        return f"sentence-transformers has no place for the norm that {kind} applies after pooling"
    if config.pooling != "cls" and model.num_prefix_tokens:
        return f"its pooling {config.pooling!r} would take in the class token and registers of {kind}"
    if model._interpolates_on_request and config.image_size != trained_side:
        return (
            f"it does not ask {kind} to interpolate position embeddings from {trained_side} to {config.image_size} px"
        )
    return None


def _write_own_modules(model: ViTRetModel, folder: Path) -> list[str]:
    """Write a folder for each module; return their names in order."""
    width, projection = model.config.hidden_size, model.projection
    transformer = folder / "transformer"
    model.backbone.save_pretrained(transformer)
    model.image_processor.save_pretrained(transformer)
    kwargs = _backbone_kwargs(model.config.backbone_config)
    _write_json(transformer / TRANSFORMER_FILE, _transformer("last_hidden_state", "token_embeddings", kwargs))
    _write_json(
        folder / "pooling" / "config.json", {"embedding_dimension": width, "pooling_mode": model.config.pooling}
    )
    if projection is not None:
        dense = {
            "in_features": width,
            "out_features": projection.out_features,
            "bias": True,
            "activation_function": "torch.nn.modules.linear.Identity",
        }
        _write_json(folder / "projection" / "config.json", dense)
        weights = {f"linear.{name}": weight.contiguous() for name, weight in projection.state_dict().items()}
        save_file(weights, folder / "projection" / "model.safetensors", metadata={"format": "pt"})
    _write_json(folder / "normalize" / "config.json", {})
    return [name for name in MODULE_TYPES if (folder / name).is_dir()]


def _transformer(output: str, feature: str, model_kwargs: dict[str, Any] | None = None) -> dict[str, Any]:
    """Describe a Transformer module that takes images, and hands one output of the model's on."""
    return {
        "transformer_task": "feature-extraction",
        "modality_config": {"image": {"method": "forward", "method_output_name": output}},
        "module_output_name": feature,
        **({"model_kwargs": model_kwargs} if model_kwargs else {}),
    }


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
