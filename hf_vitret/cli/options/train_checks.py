"""Options of `hf-vitret train` that have no effect beside another option: each is refused by name."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ...losses import PAIR_LOSSES
from .data_options import DataOptions

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator, Mapping

    from ...training.training_args import RetrievalTrainingArguments

# Options for images with a class each, which pairs of images have no use for.
_OF_CLASSES = frozenset({one.name for one in fields(DataOptions)} - {"data_dir"} | {"streaming", "benchmark_task"})
_OF_MEMORY = ("memory_weight", "memory_start_step", "memory_momentum")
_OF_PUSHES = ("hub_model_id", "hub_private_repo", "hub_strategy", "hub_always_push", "hub_revision", "hub_token")
_OF_REVISITED = ("whitening_dim", "rerank", "rerank_neighbors")
_OF_IMAGES = ("augmentation", "flip", "drop_path_rate", "layer_decay")
# Options, the condition under which they have no effect, and the reason for the message.
_RULES: tuple[tuple[tuple[str, ...], Callable[[Namespace], bool], str], ...] = (
    (_OF_MEMORY, lambda values: values.memory_size == 0, "with --memory_size 0, which leaves the memory out"),
    (("koleo_neighbors",), lambda values: values.koleo_weight == 0, "with --koleo_weight 0, which leaves KoLeo out"),
    (_OF_PUSHES, lambda values: not values.push_to_hub, "without --push_to_hub true, as nothing is uploaded"),
    (_OF_IMAGES, lambda values: values.head_only, "with --head_only, which sees each image once and trains no block"),
    (
        _OF_REVISITED,
        lambda values: values.revisited_dir is None and not values.demo,
        "without --revisited_dir, as nothing is searched after the training",
    ),
    (
        ("on_bad_image",),
        lambda values: values.trusted_images,
        "with --trusted_images, under which no image is checked before the training",
    ),
    (
        ("split_seed",),
        lambda values: values.test_fraction == 0 or values.test_split is not None or values.query_split is not None,
        "with --test_fraction 0, --test_split or --query_split, with which no classes are drawn for testing",
    ),
)


def check_meaning(values: Namespace, given: Mapping[str, Any], kind: type[RetrievalTrainingArguments]) -> None:
    """Check that each given option has an effect.

    Args:
        values: All options by name.
        given: Those that differ from the preset of the data set.
        kind: Class of the settings of the training.

    Raises:
        ValueError: An option has no effect; the message names it and the reason.
    """
    for name, reason in _meaningless(values, given, kind):
        raise ValueError(f"expected no --{name} {reason}; got it: leave it out")


def _meaningless(
    values: Namespace, given: Mapping[str, Any], kind: type[RetrievalTrainingArguments]
) -> Iterator[tuple[str, str]]:
    """Yield the given options without an effect, each with the reason."""
    if kind.UNUSED:
        unused = [*_OF_CLASSES, *kind.UNUSED]
        yield from (
            (name, f"with {values.data}, which is trained on pairs of images") for name in given if name in unused
        )
    for names, is_meaningless, reason in _RULES:
        yield from ((name, reason) for name in names if name in given and is_meaningless(values))
    loss = PAIR_LOSSES.get(values.loss)  # the user's own class takes what its constructor names
    if loss is not None and not kind.UNUSED:
        taken = inspect.signature(loss).parameters
        for name in ("margin", "temperature"):
            if name in given and name not in taken:
                yield name, f"with --loss {values.loss}, which has no {name}"
        if "loss_learning_rate" in given and "num_classes" not in taken:
            yield "loss_learning_rate", f"with --loss {values.loss}, which has no weights"
