"""`MtebEncoder`: a retrieval model as an encoder of the package `mteb`, for its image-to-image tasks."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from tqdm.auto import tqdm

from ..inference.embed import embed_images
from ..search.inner_products import inner_products


class MtebEncoder:
    """Encode images with a retrieval model, for `mteb.evaluate`.

    It pre-processes and embeds images as `embed_images` does, so that its scores are those of the checkpoint in use.
    Only the evaluation needs the package `mteb`; an encoder can be built without it.

    Args:
        model: A `ViTRetModel`, also one loaded with `trust_remote_code`, on the device that it runs on.
        name: Name under which `mteb` files the results, in the form `"user/model"`.
        revision: Commit of the model on the Hub, if it has one.
        dtype: `torch.bfloat16` or `torch.float16` runs the model under autocast. `None` runs it in the type of its
            weights.

    Attributes:
        model: The model.
        name: Name under which `mteb` files the results.
        revision: Commit of the model on the Hub, or `None`.
        dtype: The autocast type, or `None`.

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
            raise ValueError(
                f"name must be of the form user/model, as mteb files its results; got {name!r}. Put the name of the "
                "owner and a slash in front"
            )
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
        """Embed the images of a task; `mteb` calls this method.

        Args:
            inputs: A loader of batches, each a mapping whose `image` is a list of PIL images.
            task_metadata: Metadata of the task; its name appears in error messages.
            hf_split: Split of the task, for error messages.
            hf_subset: Subset of the task, for error messages.
            prompt_type: Whether the images are queries or documents. Both are embedded in the same way.
            show_progress_bar: Whether to show a progress bar.
            **kwargs: Other settings of `mteb`, which are ignored. The batch size is that of the loader.

        Returns:
            `(num_images, dim)` float32 on the CPU, unit L2 norm, in the order of the loader.

        Raises:
            ValueError: A batch has other inputs than images, or there is no image.
        """
        batches = []
        for batch in tqdm(inputs, desc="Embedding", unit="batch", disable=not show_progress_bar, leave=False):
            others = sorted({"text", "audio", "video"} & set(batch))
            if "image" not in batch or others:
                raise ValueError(
                    f"{self.name} embeds images alone; the task {getattr(task_metadata, 'name', '')} has "
                    f"{', '.join(others) or ', '.join(batch)}. Choose a task of the category i2i"
                )
            images = batch["image"]
            batches.append(
                embed_images(self.model, images, batch_size=len(images), dtype=self.dtype, progress=False)
            )  # (B, D)
        if not batches:
            raise ValueError(
                f"expected at least one image to embed in {hf_split} of {hf_subset}; got none. Check the task's data"
            )
        return torch.cat(batches)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """Return the cosine similarity of all pairs of rows of two sets.

        Args:
            embeddings1: `(num_1, dim)` unit rows, a tensor or an array; `(dim,)` is one row.
            embeddings2: `(num_2, dim)` unit rows, a tensor or an array; `(dim,)` is one row.

        Returns:
            `(num_1, num_2)` float32.
        """
        return inner_products(_rows(embeddings1), _rows(embeddings2))

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> torch.Tensor:
        """Return the cosine similarity of each row of one set with the same row of another.

        Args:
            embeddings1: `(num_rows, dim)` unit rows, a tensor or an array.
            embeddings2: `(num_rows, dim)` unit rows, a tensor or an array.

        Returns:
            `(num_rows,)` float32.
        """
        return (_rows(embeddings1) * _rows(embeddings2)).sum(dim=1)

    @property
    def mteb_model_meta(self) -> Any:
        """The metadata that `mteb` stores with the results, a `mteb.models.ModelMeta`.

        Raises:
            ImportError: `mteb` is not installed.
        """
        try:
            from mteb.models.model_meta import ModelMeta, ScoringFunction
        except ImportError as error:
            raise ImportError(
                "MtebEncoder needs the package mteb, which is not installed. Install it with: pip install mteb"
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
            # Settings that distinguish two runs of one checkpoint.
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
