"""Particular objects: fine-tune on tuples, then score what came of it on the revisited benchmarks."""

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
    """Train on mined tuples, and write what `finetune` writes.

    The checkpoint to keep is chosen by leave-one-out retrieval among the images of other 3-D models than those trained
    on: what shares a model is right, which is a little too much, as two views of one model need not overlap.

    Args:
        dataset: `train` and `val`, as `load_sfm120k` gives them.
        pairs: `anchor` and `positive`, rows of `train`.
        model_args: The model. Without a `resize_size` the whole image is squeezed to the model's square.
        args: The run.
        facts: For the card.
        trusted_images: Whether to skip decoding each image once before training starts.
        score_more: Takes the checkpoint's folder, once it is whole, to what the results and the card say beside it.
        say: Prints a line about what is going on; called on the main process alone.

    Returns:
        The folder and the results.

    Raises:
        ValueError: The images, the model's settings or the run's are at fault; before training starts.
        OSError: A model or a checkpoint is not there; before training starts.
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
    """Learn a whitening for a model from matching pairs, and make it the projection of a copy.

    Args:
        model: The model.
        images: Column `image`.
        pairs: `anchor` and `positive`, rows of `images`. Images without a pair are not embedded.
        dim: Dimensions to keep; all for None.
        batch_size: Images embedded at once.
        num_workers: Processes that decode images.
        dtype: `torch.bfloat16` or `torch.float16` embeds under autocast.

    Returns:
        The model with its whitening, on the same device.

    Raises:
        ValueError: As for `LearnedWhitening.fit`.
    """
    import numpy as np
    import torch

    drawn = np.array([column_values(pairs, name) for name in PAIR_COLUMNS], dtype=np.int64)  # (2, num_pairs)
    rows, places = np.unique(drawn, return_inverse=True)
    features = embed_multi_scale(
        model,
        images.select(rows),
        batch_size=batch_size,
        num_workers=num_workers,
        dtype=dtype,
        normalize=False,
        description="Whitening",
    )  # (num_images, dim)
    anchors, positives = torch.from_numpy(places.reshape(2, -1))
    whitening = LearnedWhitening.fit(features, anchors, positives, dim=dim)
    whitened: Any = with_projection(model, whitening.mean, whitening.components)
    return whitened  # type: ignore[no-any-return]
