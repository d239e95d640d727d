"""The loss that the arguments of a run ask for."""

import inspect
from typing import Any

from torch import nn

from ...losses.external import ExternalLoss
from ...losses.retrieval import PAIR_LOSSES, RetrievalLoss
from ..training_args import RetrievalTrainingArguments

# Losses of pairs, which a memory gives more of. The others compare with proxies, or rank within the batch.
_WITH_MEMORY = ("contrastive", "supcon")


def build_loss(
    args: RetrievalTrainingArguments, *, num_images: int, num_classes: int, embedding_dim: int, global_batch: int
) -> RetrievalLoss:
    """Build the objective of a run.

    Args:
        args: The run; `args.memory_size` of at most 1 is a share of the training set.
        num_images: Images in the training set.
        num_classes: Classes in it.
        embedding_dim: Length of an embedding.
        global_batch: Images of one step, of all processes together.

    Raises:
        ValueError: The memory is smaller than a step's images, or a setting is outside its domain.
    """
    memory_size = memory_rows(args, num_images)
    if 0 < memory_size < global_batch:
        raise ValueError(
            f"memory_size must be 0 (no memory) or at least the images of one step ({global_batch}); got {memory_size}"
        )
    pair_loss = None
    if args.loss != "contrastive":
        offered = {"num_classes": num_classes, "embedding_dim": embedding_dim}
        if args.temperature is not None:
            offered["temperature"] = args.temperature  # type: ignore[assignment]
        taken = inspect.signature(PAIR_LOSSES[args.loss]).parameters
        pair_loss = PAIR_LOSSES[args.loss](**{name: value for name, value in offered.items() if name in taken})
    return RetrievalLoss(
        margin=args.margin,
        koleo_weight=args.koleo_weight,
        memory_size=memory_size,
        embedding_dim=embedding_dim,
        memory_weight=args.memory_weight,
        koleo_neighbors=args.koleo_neighbors,  # type: ignore[arg-type]  # KoLeoLoss checks it
        memory_start_step=args.memory_start_step * args.gradient_accumulation_steps,  # the loss counts batches
        pair_loss=pair_loss,
    )


def memory_rows(args: RetrievalTrainingArguments, num_images: int) -> int:
    """Return the rows of the memory: the paper's is as large as the training set, or a fifth of it for In-Shop."""
    if args.memory_size is None:
        return num_images if args.loss in _WITH_MEMORY else 0
    return int(args.memory_size * num_images) if args.memory_size <= 1 else int(args.memory_size)


def adapt_loss(loss: nn.Module) -> Any:
    """Return a loss that speaks the signature of `RetrievalLoss`: itself, or one of another library's wrapped."""
    speaks_ours = "self_index" in inspect.signature(loss.forward).parameters
    return loss if speaks_ours else ExternalLoss(loss)
