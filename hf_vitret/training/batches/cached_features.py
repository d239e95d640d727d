"""A frozen backbone's output, computed once: a head is then trained without running the backbone again."""

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.utils.data import Dataset

from ...data.schema import column_values
from ...inference.embed import embed_images

if TYPE_CHECKING:
    import datasets


class CachedFeatures(Dataset[dict[str, Any]]):
    """Pooled backbone outputs and labels: what `RetrievalTrainer` trains a head on in the place of images.

    Its examples are arguments of `ViTRetModel.forward(pooled=...)`.

    Args:
        pooled: `(N, width)` float32, on the CPU.
        labels: `(N,)` int64.

    Raises:
        ValueError: There are not as many labels as rows.
    """

    def __init__(self, pooled: torch.Tensor, labels: torch.Tensor) -> None:
        if len(pooled) != len(labels):
            raise ValueError(f"expected a label for each of {len(pooled)} pooled outputs; got {len(labels)} labels")
        self.pooled = pooled
        self.labels = labels

    def __len__(self) -> int:
        """Count the images."""
        return len(self.pooled)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return `pooled` `(width,)`, `labels` and `rows` of one image."""
        return {"pooled": self.pooled[index], "labels": int(self.labels[index]), "rows": index}


def cache_pooled_features(
    model: nn.Module,
    dataset: "datasets.Dataset",
    *,
    batch_size: int = 64,
    num_workers: int = 0,
    dtype: torch.dtype | None = None,
    progress: bool = True,
) -> CachedFeatures:
    """Run the backbone over a data set once, and keep what it pools each image to.

    The images are seen as at test time, without augmentation, and the backbone runs in evaluation mode. What is kept
    is `N * width * 4` bytes (91 MB for the 59,551 images of Stanford Online Products and a ViT-S), whatever the size
    of the images.

    Args:
        model: A `ViTRetModel`, on the device to compute on. Its mode (train or eval) is restored.
        dataset: With the columns `image` and `label`.
        batch_size: Images a step.
        num_workers: Processes that decode; 0 decodes in this one.
        dtype: `torch.bfloat16` or `torch.float16` runs the backbone under autocast.
        progress: Whether to show a bar.

    Returns:
        The examples to train a projection on, in the order of the data set. An exponent of GeM pooling cannot be
        trained on them: it is applied already.

    Raises:
        ValueError: There are no images, the model has no projection, or an output is not finite.
    """
    network: Any = model
    if network.projection is None:
        raise ValueError(
            "a head on cached features is a projection, and this model has none: give it one (--embedding_dim)"
        )
    pooled = embed_images(
        _PooledOutput(model),
        dataset,
        batch_size=batch_size,
        num_workers=num_workers,
        dtype=dtype,
        progress=progress,
        description="Caching features",
    )
    return CachedFeatures(pooled, torch.tensor(column_values(dataset, "label"), dtype=torch.int64))


class _PooledOutput(nn.Module):
    """Show `embed_images` the pooled outputs of a model in the place of its embeddings."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.training = model.training  # what embed_images restores at its end
        self.image_processor, self.config = model.image_processor, model.config

    def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
        network: Any = self.model
        return SimpleNamespace(embeddings=network.pool_images(pixel_values)[0])
