"""A retrieval model as the package `mteb` wants one, for its image-to-image tasks."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from ..inference.embed import embed_images
from ..search.inner_products import inner_products


class MtebEncoder:
    """Let `mteb.evaluate` embed images with a retrieval model.

    It pre-processes and embeds as `embed_images` does, so that its scores are those of the checkpoint as it is served.
    `mteb` need not be installed to build one, only to use it.

    Args:
        model: A `ViTRetModel`, also one loaded with `trust_remote_code`, on the device it is to run on.
        name: Under which the results are filed, `"user/model"`.
        revision: Commit on the Hub, where it has one.
        dtype: `torch.bfloat16` or `torch.float16` runs the model under autocast.

    Raises:
        ValueError: The name is not of the form `user/model`.

    Example:
        >>> import mteb  # doctest: +SKIP
        >>> encoder = MtebEncoder(model, "user/model")  # doctest: +SKIP
        >>> mteb.evaluate(encoder, mteb.get_tasks(tasks=["SOPI2IRetrieval"]))  # doctest: +SKIP
    """

    def __init__(
        self, model: nn.Module, name: str, *, revision: str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        if len(name.split("/")) != 2:
            raise ValueError(f"name must be of the form user/model, as mteb files its results; got {name!r}")
        self.model, self.name, self.revision, self.dtype = model, name, revision, dtype

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: Any,
        hf_split: str,
        hf_subset: str,
        prompt_type: Any = None,
        show_progress_bar: bool = True,
        **kwargs: Any,
    ) -> torch.Tensor:
        """Embed the images of a task.

        Args:
            inputs: A loader of batches, each a mapping whose `image` is a list of PIL images.
            task_metadata: Of the task.
            hf_split: Its split.
            hf_subset: Its subset.
            prompt_type: Whether they are queries or documents: embedded alike.
            show_progress_bar: Whether to show a bar.
            **kwargs: Other settings of `mteb`; the batch size is that of the loader.

        Returns:
            `(num_images, dim)` float32 on the CPU, unit L2 norm, in the order of the loader.

        Raises:
            ValueError: A batch has something other than images to embed, or there is none.
        """
        batches = []
        for batch in tqdm(inputs, desc="Embedding", unit="batch", disable=not show_progress_bar, leave=False):
            others = sorted({"text", "audio", "video"} & set(batch))
            if "image" not in batch or others:
                raise ValueError(
                    f"{self.name} embeds images alone; the task {getattr(task_metadata, 'name', '')} has "
                    f"{', '.join(others) or ', '.join(batch)}. Choose tasks of the category i2i"
                )
            images = batch["image"]
            batches.append(
                embed_images(self.model, images, batch_size=len(images), dtype=self.dtype, progress=False)
            )  # (B, D)
        if not batches:
            raise ValueError(f"expected at least one image to embed in {hf_split} of {hf_subset}; got none")
        return torch.cat(batches)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """Score all pairs by the cosine, `(num_1, num_2)` float32; `(dim,)` is one row."""
        return inner_products(_rows(embeddings1), _rows(embeddings2))

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """Score each row with its partner by the cosine, `(num_rows,)` float32."""
        return (_rows(embeddings1) * _rows(embeddings2)).sum(dim=1)

    @property
    def mteb_model_meta(self) -> Any:
        """What `mteb` notes beside the results: a `mteb.models.ModelMeta`.

        Raises:
            ImportError: `mteb` is not installed.
        """
        try:
            from mteb.models.model_meta import ModelMeta, ScoringFunction
        except ImportError as error:
            raise ImportError(
                "MtebEncoder is for the package mteb, which is not installed: pip install mteb"
            ) from error
        config: Any = self.model.config
        fields = {
            "name": self.name,
            "revision": self.revision,
            "n_parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "embed_dim": config.output_dim,
            "similarity_fn_name": ScoringFunction.COSINE,
            "framework": ["PyTorch"],
            "modalities": ["image"],
            # What distinguishes two runs of one checkpoint.
            "experiment_kwargs": {
                name: getattr(config, name) for name in ("image_size", "resize_size", "resize_mode", "pooling")
            }
            | {"dtype": "float32" if self.dtype is None else str(self.dtype).removeprefix("torch.")},
        }
        return ModelMeta.create_empty(overwrites={name: value for name, value in fields.items() if value is not None})


def _rows(embeddings: Any) -> torch.Tensor:
    """Return unit rows, tensor or array, as `(num_rows, dim)` float32."""
    rows = torch.as_tensor(embeddings).float()
    return rows.unsqueeze(0) if rows.ndim == 1 else rows
