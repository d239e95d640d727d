"""Training on tuples of images of particular objects, and a whitening learned from matching pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...compression.whitening import LearnedWhitening
from ...data.schema import column_values
from ...inference.multi_scale import embed_multi_scale
from ...inference.projection import with_projection
from ...models.modeling_vitret import ViTRetModel
from ...training.tuples.arguments import TupleTrainingArguments
from ...training.tuples.pairs import PAIR_COLUMNS, kept_pairs
from ...training.tuples.trainer import TupleTrainer
from .arguments import ModelArguments
from .data_facts import DataFacts
from .finetune import MoreScores, finetune
from .run_report import FinishedRun

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from datasets import Dataset, DatasetDict


def finetune_on_tuples(
    dataset: DatasetDict,
    pairs: Dataset,
    model_args: ModelArguments,
    args: TupleTrainingArguments,
    facts: DataFacts,
    *,
    trusted_images: bool = False,
    score_more: MoreScores | None = None,
    say: Callable[[str], None] = print,
) -> FinishedRun:
    """Train on mined tuples, and write the same files as `finetune`.

    The best checkpoint is chosen by leave-one-out retrieval among images of 3-D models outside the training set.
    All images of one 3-D model count as matches, although two views of one model need not overlap.

    Args:
        dataset: `train` and `val`, as `load_sfm120k` gives them.
        pairs: `anchor` and `positive`, rows of `train`.
        model_args: Settings of the model. Without a `resize_size` the image is resized to the model's square.
        args: Settings of the training.
        facts: Facts about the data and the model for the card.
        trusted_images: Whether to skip the check that decodes each image once before training starts.
        score_more: Takes the finished folder and returns further entries of the results and the card.
        say: Prints a line about the progress; only the main process calls it.

    Returns:
        The folder and the results.

    Raises:
        ValueError: Images cannot be read, or a setting of the model or of the training is wrong; raised before
            training starts.
        OSError: The model or a checkpoint does not exist; raised before training starts.
    """
    from datasets import DatasetDict

    model_args.resize_size = model_args.resize_size or model_args.image_size
    image_ids = column_values(dataset["train"], "image_id")

    def make_trainer(model: Any, args: TupleTrainingArguments, train_dataset: Any, eval_dataset: Any) -> TupleTrainer:
        is_whole = not hasattr(train_dataset, "column_names") or len(train_dataset) == len(image_ids)
        kept = pairs if is_whole else kept_pairs(pairs, image_ids, column_values(train_dataset, "image_id"))
        return TupleTrainer(model, args, train_dataset, eval_dataset, pairs=kept)

    splits = DatasetDict(train=dataset["train"], test=dataset["val"])
    extra: Any = {"trusted_images": trusted_images, "score_more": score_more, "say": say}
    return finetune(splits, model_args, args, facts, make_trainer=make_trainer, **extra)


def whiten(
    model: ViTRetModel,
    images: Dataset,
    pairs: Dataset,
    *,
    dim: int | None = None,
    batch_size: int = 64,
    num_workers: int = 0,
    dtype: torch.dtype | None = None,
) -> ViTRetModel:
    """Learn a whitening from matching pairs, and return a copy of the model with the whitening as its projection.

    Args:
        model: The model, on any device.
        images: Images, in the column `image`.
        pairs: Columns `anchor` and `positive`, rows of `images`. Images without a pair are not embedded.
        dim: Number of dimensions to keep; `None` keeps all.
        batch_size: Number of images embedded at once.
        num_workers: Number of processes that decode images.
        dtype: `torch.bfloat16` or `torch.float16` for autocast; `None` for float32.

    Returns:
        The copy, on the device of the model.

    Raises:
        ValueError: There are no pairs, or `dim` is larger than the width of the model.
    """
    import numpy as np
    import torch

    drawn = np.array([column_values(pairs, name) for name in PAIR_COLUMNS], dtype=np.int64)  # (2, num_pairs)
    rows, positions = np.unique(drawn, return_inverse=True)
    features = embed_multi_scale(
        model,
        images.select(rows),
        batch_size=batch_size,
        num_workers=num_workers,
        dtype=dtype,
        normalize=False,
        description="Whitening",
    )  # (num_images, dim)
    anchors, positives = torch.from_numpy(positions.reshape(2, -1))
    whitening = LearnedWhitening.fit(features, anchors, positives, dim=dim)
    whitened: Any = with_projection(model, whitening.mean, whitening.components)
    return whitened  # type: ignore[no-any-return]
