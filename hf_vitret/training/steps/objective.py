"""The training objective that the arguments of a run name: a loss, the KoLeo term and a memory."""

import inspect
from typing import Any

from torch import Tensor, nn

from ...losses import PAIR_LOSSES, ExternalLoss, RetrievalLoss
from ..training_args import RetrievalTrainingArguments
from .imported_loss import build_from_settings, import_loss_class


def build_loss(
    args: RetrievalTrainingArguments, *, num_images: int, num_classes: int, embedding_dim: int, global_batch: int
) -> RetrievalLoss:
    """Build the objective of a run.

    `args.loss` names one of `PAIR_LOSSES`, or any class of modules as `module:Class`. The constructor of the class gets
    `margin`, `temperature` (if `args` sets it), `num_classes` and `embedding_dim`, each if it has a parameter of that
    name. The loss replaces the contrastive loss in `RetrievalLoss`, so that `koleo_weight` has the same meaning with
    every loss. If its `forward` takes `self_index`, as that of `PairLoss` does, it is compared with the memory too. Any
    other loss is called as `ExternalLoss` describes, and has no memory.

    Args:
        args: The settings of the run. An `args.memory_size` of at most 1 is a share of the training set.
        num_images: Number of images in the training set.
        num_classes: Number of classes in the training set.
        embedding_dim: Length of an embedding.
        global_batch: Number of images in one step of all processes together.

    Returns:
        The objective, on the CPU.

    Raises:
        ImportError: The module that `args.loss` names does not exist, or one of its own imports fails.
        ValueError: The memory is smaller than the images of one step, a setting is outside its domain, or the class
            that `args.loss` names does not exist, is a whole objective or cannot be built.
    """
    memory_size = memory_rows(args, num_images)
    if 0 < memory_size < global_batch:
        raise ValueError(
            f"memory_size must be 0 (no memory) or at least the images of one step ({global_batch}); got {memory_size}"
        )
    settings = {
        "margin": args.margin,
        "temperature": args.temperature,
        "num_classes": num_classes,
        "embedding_dim": embedding_dim,
    }
    pair_loss = _as_pair_loss(build_from_settings(_loss_class(args), settings), memory_size)
    return RetrievalLoss(
        koleo_weight=args.koleo_weight,
        memory_size=memory_size,
        embedding_dim=embedding_dim,
        memory_weight=args.memory_weight,
        koleo_neighbors=args.koleo_neighbors,  # type: ignore[arg-type]  # KoLeoLoss checks it
        memory_start_step=args.memory_start_step * args.gradient_accumulation_steps,  # the loss counts batches
        pair_loss=pair_loss,
    )


def memory_rows(args: RetrievalTrainingArguments, num_images: int) -> int:
    """Return the number of embeddings in the memory.

    By default the memory is as large as the training set for a loss with `memory_by_default`, and there is none for any
    other loss. The paper's memory is as large as the training set, or a fifth of it for In-Shop.

    Args:
        args: The settings of the run.
        num_images: Number of images in the training set.

    Returns:
        The number of embeddings; 0 is no memory.
    """
    if args.memory_size is None:
        return num_images if getattr(_loss_class(args), "memory_by_default", False) else 0
    return int(args.memory_size * num_images) if args.memory_size <= 1 else int(args.memory_size)


def adapt_loss(loss: nn.Module) -> Any:
    """Return a loss with the signature of `RetrievalLoss`: the loss itself, or one of another library, wrapped."""
    return loss if _takes(loss, "self_index") else ExternalLoss(loss)


def _loss_class(args: RetrievalTrainingArguments) -> type[nn.Module]:
    """Return the class of the loss that the arguments name."""
    return PAIR_LOSSES[args.loss] if args.loss in PAIR_LOSSES else import_loss_class(args.loss)


def _as_pair_loss(loss: nn.Module, memory_size: int) -> nn.Module:
    """Return a loss with the signature of `PairLoss`: the loss itself, or any other one wrapped."""
    name = type(loss).__name__
    if _takes(loss, "memory_embeddings"):
        raise ValueError(
            f"expected a loss that compares images and returns one number; got {name}, whose forward takes "
            "memory_embeddings: it is a whole objective, as RetrievalLoss is. Pass an instance of it in Python: "
            "RetrievalTrainer(..., loss=...)"
        )
    if _takes(loss, "self_index"):
        return loss
    if memory_size:
        raise ValueError(
            f"expected memory_size 0 with {name}, whose forward takes no self_index to leave out an image's own entry "
            f"in the memory; got a memory of {memory_size} embeddings. Leave memory_size out, or derive the loss from "
            "PairLoss"
        )
    return _ExternalPairLoss(loss)


def _takes(loss: nn.Module, name: str) -> bool:
    return name in inspect.signature(loss.forward).parameters


class _ExternalPairLoss(nn.Module):
    """Give an `ExternalLoss` the signature of `PairLoss`, which returns one number."""

    uses_references = False

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.external = ExternalLoss(loss)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        ref_embeddings: Tensor | None = None,
        ref_labels: Tensor | None = None,
        *,
        self_index: Tensor | None = None,
    ) -> Tensor:
        terms = self.external(embeddings, labels, ref_embeddings, ref_labels, self_index=self_index)
        loss: Tensor = terms["loss"]
        return loss
