"""Write the files with which `SentenceTransformer` loads a checkpoint and computes the same embeddings."""

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
# The release of sentence-transformers that the files are written for; older ones warn when they read them.
WRITTEN_FOR = "6.0.0"


def write_sentence_transformers(folder: str | PathLike[str], *, copy_weights: bool | None = None) -> bool:
    """Write `modules.json` and the files that it names into a checkpoint's folder, and add the format to its card.

    There are two forms:

    * Modules of sentence-transformers (Transformer, Pooling, Dense, Normalize). No code of the repository runs. The
      weights of the backbone are stored a second time, because the library loads a plain backbone from a folder of its
      own; users of this form download only that copy.
    * The checkpoint's own code. The Transformer module of the library loads the checkpoint and takes its embeddings.
      This adds a few hundred bytes and supports every pooling, and a model that sentence-transformers trains and saves
      can still be loaded in all other ways. It needs `SentenceTransformer(..., trust_remote_code=True)`, as
      `AutoModel` does.

    Args:
        folder: A checkpoint that `ViTRetModel.save_pretrained` wrote. The files of an earlier call are replaced.
        copy_weights: True writes the first form, False the second. Default: the first form if the library has modules
            for the model, else the second.

    Returns:
        Whether `SentenceTransformer` needs `trust_remote_code=True` to load the folder.

    Raises:
        ValueError: The first form is requested, and the library has no modules for the model (the message gives the
            reason), or the checkpoint refers to files or code outside its folder.
        FileNotFoundError: There is no checkpoint in the folder.
    """
    target = Path(folder)
    check_is_checkpoint(target)
    check_self_contained(target)
    model = ViTRetModel.from_pretrained(target)
    obstacle = why_library_modules_cannot(model)
    if copy_weights and obstacle:
        raise ValueError(
            f"expected a model that the modules of sentence-transformers can compute; got one that they cannot: "
            f"{obstacle}. Leave copy_weights out, and load the checkpoint with trust_remote_code=True"
        )
    # The files that name the parts are deleted first, so that no reader loads parts that are being replaced.
    for name in ("modules.json", TRANSFORMER_FILE):
        (target / name).unlink(missing_ok=True)
    shutil.rmtree(target / MODULES_FOLDER, ignore_errors=True)
    needs_code = obstacle is not None or copy_weights is False
    if needs_code:
        _write_json(target / TRANSFORMER_FILE, _transformer("embeddings", "sentence_embedding"))
        paths = {"transformer": ""}
    else:
        with whole_folder(target / MODULES_FOLDER) as partial:
            names = _write_library_modules(model, partial)
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


def why_library_modules_cannot(model: ViTRetModel) -> str | None:
    """Say why the modules of sentence-transformers cannot compute a model's embeddings; `None` if they can."""
    config = model.config
    kind = config.backbone_config.model_type
    trained_side = getattr(config.backbone_config, "image_size", config.image_size)
    if config.pooling == "gem":
        return "sentence-transformers has no module for GeM pooling"
    if kind in POOLED_NORMS:
        return f"sentence-transformers has no module for the norm that {kind} applies after pooling"
    if config.pooling != "cls" and model.num_prefix_tokens:
        return f"the library's pooling {config.pooling!r} would include the class token and registers of {kind}"
    if model._interpolates_on_request and config.image_size != trained_side:
        return (
            f"the library does not make {kind} interpolate its position embeddings from {trained_side} to "
            f"{config.image_size} px"
        )
    return None


def _write_library_modules(model: ViTRetModel, folder: Path) -> list[str]:
    """Write a folder for each module of the library, and return the names of the modules in order."""
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
    """Make the configuration of a Transformer module that takes images and passes on one output of the model."""
    return {
        "transformer_task": "feature-extraction",
        "modality_config": {"image": {"method": "forward", "method_output_name": output}},
        "module_output_name": feature,
        **({"model_kwargs": model_kwargs} if model_kwargs else {}),
    }


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, content)
