"""Arguments that every loss refuses, with a message that says how to correct them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hf_vitret.losses import ContrastiveLoss, KoLeoLoss, RetrievalLoss

X, Y = torch.eye(4), torch.arange(4)

WRONG: list[tuple[str, type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
    ("one vector", ValueError, r"shape \(rows, dim\)", (X[0], Y[:1]), {}),
    ("token map", ValueError, "pool and flatten", (X[None], Y[:1]), {}),
    ("integer embeddings", TypeError, "floating point embeddings", (X.long(), Y), {}),
    ("float labels", TypeError, r"\.long\(\)", (X, Y.float()), {}),
    ("bool labels", TypeError, "integer labels", (X, Y > 1), {}),
    ("too few labels", ValueError, r"labels of shape \(4,\)", (X, Y[:3]), {}),
    ("one-hot labels", ValueError, r"labels of shape \(4,\)", (X, X.long()), {}),
    ("empty batch", ValueError, "at least one anchor", (X[:0], Y[:0]), {}),
    ("no ref_labels", ValueError, "got no ref_labels", (X, Y, X), {}),
    ("no ref_embeddings", ValueError, "got no ref_embeddings", (X, Y, None, Y), {}),
    ("other dimension", ValueError, "ref_embeddings of dimension 4", (X, Y, X[:, :2], Y), {}),
    ("ref_labels too short", ValueError, r"ref_labels of shape \(4,\)", (X, Y, X, Y[:2]), {}),
    ("self_index alone", ValueError, "Drop self_index", (X, Y), {"self_index": Y}),
    ("self_index too short", ValueError, r"self_index of shape \(4,\)", (X, Y, X, Y), {"self_index": Y[:2]}),
    ("self_index too large", ValueError, r"\[0, 4\)", (X, Y, X, Y), {"self_index": Y + 1}),
    ("self_index negative", ValueError, r"\[0, 4\)", (X, Y, X, Y), {"self_index": Y - 1}),
    ("self_index float", TypeError, "integer self_index", (X, Y, X, Y), {"self_index": Y.float()}),
    ("labels elsewhere", ValueError, "labels on cpu", (X, Y.to("meta")), {}),
    ("refs elsewhere", ValueError, "ref_embeddings on cpu", (X, Y, X.to("meta"), Y.to("meta")), {}),
    ("self_index elsewhere", ValueError, "self_index on cpu", (X, Y, X, Y), {"self_index": Y.to("meta")}),
]


@pytest.mark.parametrize(
    "loss", [ContrastiveLoss(), KoLeoLoss(), RetrievalLoss()], ids=lambda loss: type(loss).__name__
)
@pytest.mark.parametrize(
    ("error", "message", "args", "kwargs"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG]
)
def test_wrong_arguments_are_refused(
    loss: torch.nn.Module, error: type[Exception], message: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    with pytest.raises(error, match=message):
        loss(*args, **kwargs)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8])
def test_labels_of_any_integer_type_are_taken(dtype: torch.dtype) -> None:
    torch.testing.assert_close(ContrastiveLoss()(X, (Y % 2).to(dtype)), ContrastiveLoss()(X, Y % 2))
