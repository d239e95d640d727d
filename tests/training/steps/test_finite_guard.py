"""The error of a run whose loss is NaN or infinite: the step, the images and the checkpoint that it names."""

import pytest
import torch

from hf_vitret.training.steps.finite_guard import FiniteGuard

NAMES = [f"image-{row}.jpg" for row in range(30)]


def guard(checkpoint: str | None = "out/checkpoint-40") -> FiniteGuard:
    return FiniteGuard(lambda rows: [NAMES[row] for row in rows], lambda: checkpoint)


def test_finite_batches_pass() -> None:
    watcher = guard()
    watcher.check()
    watcher.watch(1, torch.tensor([3, 4]), torch.ones(2, 3), torch.tensor(1.0))
    watcher.check()


def test_broken_embeddings_are_named_with_step_and_checkpoint() -> None:
    watcher = guard()
    embeddings = torch.ones(3, 2)
    embeddings[1, 0] = float("nan")
    watcher.watch(41, torch.tensor([7, 8, 9]), embeddings, torch.tensor(float("nan")))
    with pytest.raises(FloatingPointError) as caught:
        watcher.check()
    message = str(caught.value)
    assert "at step 41" in message
    assert "got NaN or infinity. The embeddings of image-8.jpg are not finite. Resume from" in message
    assert "image-7.jpg" not in message
    assert "--resume_from_checkpoint out/checkpoint-40" in message
    watcher.check()  # the error is raised once


def test_a_broken_loss_of_finite_embeddings_names_the_batch() -> None:
    watcher = guard(checkpoint=None)
    watcher.watch(1, torch.tensor([0, 1]), torch.ones(2, 2), torch.tensor(float("inf")))
    with pytest.raises(
        FloatingPointError,
        match=r"The embeddings, of image-0.jpg, image-1.jpg, are finite\. No checkpoint was written yet",
    ):
        watcher.check()


def test_a_long_list_of_images_is_shortened() -> None:
    watcher = guard()
    watcher.watch(1, torch.arange(30), torch.full((30, 2), float("nan")), torch.tensor(float("nan")))
    with pytest.raises(FloatingPointError, match="and 20 more"):
        watcher.check()
