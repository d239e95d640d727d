"""Start values of a loss's proxies: the mean embedding of each class."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ...inference.embed import embed_images
from ...inference.forward import check_finite, evaluating
from ...search.entry_positions import positions_in_rows
from ..batches.cached_features import CachedFeatures
from ..batches.training_set import TrainingSet
from ..distributed.gathering import rank_and_world, sum_over_ranks

if TYPE_CHECKING:
    from ..training_args import RetrievalTrainingArguments

# The standard error of a mean of eight is 1 / sqrt(8) of the spread of its class; more images would only take longer.
IMAGES_PER_PROXY = 8


def mean_embeddings(model: nn.Module, training_set: TrainingSet, args: "RetrievalTrainingArguments") -> torch.Tensor:
    """Average the embeddings of the first images of each class, preprocessed as at test time.

    Each of several processes embeds a share of the images, with equally many batches. The means are the same on all.

    Args:
        model: A `ViTRetModel`, on the device to compute on. Its mode (train or eval) is restored at the end.
        training_set: The images, or the cached outputs of a frozen backbone.
        args: The settings of the run: batch size, decoding processes, mixed precision and device.

    Returns:
        `(num_classes, dim)` float32 on the device of `args`.

    Raises:
        ValueError: An embedding is not finite.
    """
    rows = first_rows(training_set.class_ids, IMAGES_PER_PROXY)
    rank, world = rank_and_world()
    positions = np.arange(rank, -(-len(rows) // world) * world, world)  # equally many on all ranks: some wrap around
    is_own = positions < len(rows)
    share = rows[positions % len(rows)]
    embeddings = _embed(model, training_set.examples, share, args)[torch.from_numpy(is_own)]
    class_ids = torch.from_numpy(training_set.class_ids[share[is_own]])
    sums = torch.zeros(training_set.num_classes, embeddings.shape[1])
    sums.index_add_(0, class_ids, embeddings)
    total = sums.to(args.device)
    total = sum_over_ranks(total) if world > 1 else total
    counts = np.bincount(training_set.class_ids[rows])  # (num_classes,)
    return total / torch.from_numpy(counts).to(total)[:, None]


def first_rows(class_ids: np.ndarray, count: int) -> np.ndarray:
    """Return the rows of the first images of each class, at most `count` of each, class by class.

    Example:
        >>> first_rows(np.array([1, 0, 1, 1, 0]), count=2)
        array([1, 4, 0, 2])
    """
    order = np.argsort(class_ids, kind="stable")
    ordered = torch.from_numpy(class_ids[order])
    positions = positions_in_rows(ordered, ordered.bincount()).numpy()  # of each image in its class
    rows: np.ndarray = order[positions < count]
    return rows


def _embed(model: Any, examples: Any, rows: np.ndarray, args: "RetrievalTrainingArguments") -> torch.Tensor:
    """Embed rows of a training set, `(len(rows), dim)` float32 on the CPU."""
    if isinstance(examples, CachedFeatures):
        with torch.no_grad(), evaluating(model):
            embeddings: torch.Tensor = model(pooled=examples.pooled[rows].to(args.device)).embeddings.float().cpu()
        check_finite(embeddings)
        return embeddings
    return embed_images(
        model,
        examples.without_augmentation(rows.tolist()),
        batch_size=args.per_device_eval_batch_size,
        num_workers=args.dataloader_num_workers,
        dtype=args.autocast_dtype,
        progress=args.process_index == 0 and not args.disable_tqdm,
        description="Starting proxies",
    )
