"""ContrastiveLoss against a double loop, hand-computed points and pytorch-metric-learning."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import ContrastiveLoss as PairwiseContrastiveLoss
from pytorch_metric_learning.reducers import SumReducer
from torch import Tensor
from torch.nn.functional import normalize

from hf_vitret.losses import ContrastiveLoss, contrastive

MakeBatch = Callable[..., tuple[Tensor, Tensor]]
Oracle = Callable[..., Tensor]


@pytest.fixture(params=["special rows", "all rows"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make blocks of five references, and compare labels for special rows alone or, as on a GPU, for all rows."""
    monkeypatch.setattr(contrastive, "_BLOCK", 1)
    monkeypatch.setattr(contrastive, "_MIN_CHUNK", 5)
    monkeypatch.setattr(contrastive, "_GATHER", 3)
    monkeypatch.setattr(contrastive, "_MAX_SPECIAL", 1.0 if request.param == "special rows" else -1.0)
    return str(request.param)


def test_four_points_by_hand(circle: tuple[Tensor, Tensor]) -> None:
    # Positives: 60 degrees (1 - 0.5) and 90 degrees (1 - 0). Negatives above 0.5: only 60 to 90 degrees.
    expected = 2 * (0.5 + 1.0 + math.sqrt(3) / 2 - 0.5) / 4
    assert ContrastiveLoss(margin=0.5)(*circle).item() == pytest.approx(expected, abs=1e-6)


def test_gradient_of_four_points_by_hand(circle: tuple[Tensor, Tensor]) -> None:
    embeddings, labels = circle[0].requires_grad_(), circle[1]
    ContrastiveLoss(margin=0.4)(embeddings, labels).backward()
    # Point 0 at 0 degrees: pulled to point 1, once with each of the two as the anchor. The cosines of 90 and 180
    # degrees are below the margin.
    assert embeddings.grad is not None
    torch.testing.assert_close(embeddings.grad[0], -2 * embeddings.detach()[1] / 4)
    torch.testing.assert_close(embeddings.grad[2], 2 * (embeddings[1] - embeddings[3]).detach() / 4)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("margin", [-0.3, 0.0, 0.5, 0.9])
@pytest.mark.parametrize("refs", ["itself", "own rows inside", "others"])
def test_equals_the_double_loop(refs: str, margin: float, make_batch: MakeBatch, naive_contrastive: Oracle) -> None:
    embeddings, labels = make_batch(7, seed=1)
    others, other_labels = make_batch(16, seed=2)
    own_rows: list[int | None]
    if refs == "itself":
        own_rows, ref_values, ref_labels = list(range(7)), embeddings, labels
    elif refs == "own rows inside":
        order = torch.randperm(23, generator=torch.Generator().manual_seed(3))
        ref_values, ref_labels = (
            torch.cat([embeddings, others])[order],
            torch.cat([labels, other_labels])[order],
        )
        own_rows = order.argsort()[:7].tolist()
    else:
        own_rows, ref_values, ref_labels = [None] * 7, others, other_labels

    exact, exact_refs = embeddings.double().requires_grad_(), ref_values.double().requires_grad_()
    expected = naive_contrastive(exact, labels.tolist(), exact_refs, ref_labels.tolist(), own_rows, margin)
    expected.backward()

    anchors, ref_anchors = embeddings.clone().requires_grad_(), ref_values.clone().requires_grad_()
    loss = ContrastiveLoss(margin)
    if refs == "itself":
        value = loss(anchors, labels)
        expected_grad = exact.grad + exact_refs.grad
    else:
        index = None if own_rows[0] is None else torch.tensor(own_rows)
        value = loss(anchors, labels, ref_anchors, ref_labels, self_index=index)
        expected_grad = exact.grad
    (3.0 * value).backward()

    assert value.item() == pytest.approx(expected.item(), abs=1e-5)
    torch.testing.assert_close(anchors.grad.double(), 3.0 * expected_grad, atol=1e-5, rtol=1e-5)
    if refs != "itself":
        torch.testing.assert_close(ref_anchors.grad.double(), 3.0 * exact_refs.grad, atol=1e-5, rtol=1e-5)


def test_equals_pytorch_metric_learning(make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(24, dim=16, classes=5)
    peer = PairwiseContrastiveLoss(pos_margin=1.0, neg_margin=0.5, distance=CosineSimilarity(), reducer=SumReducer())
    ours, theirs = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    value, expected = ContrastiveLoss(margin=0.5)(ours, labels), peer(theirs, labels) / 24
    torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
    value.backward()
    expected.backward()
    # Their loss normalises its inputs, so its gradient has no component along the embedding.
    along = (ours.grad * embeddings).sum(dim=1, keepdim=True) * embeddings
    torch.testing.assert_close(ours.grad - along, theirs.grad, atol=1e-5, rtol=1e-5)


def test_many_chunks_of_the_real_size_equal_one_product(make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(64, dim=16, classes=40, seed=1)
    refs, ref_labels = make_batch(20_000, dim=16, classes=40, seed=2)
    anchors = embeddings.clone().requires_grad_()
    value = ContrastiveLoss(margin=0.5)(anchors, labels, refs, ref_labels)
    value.backward()

    exact = embeddings.double().requires_grad_()
    similarities = exact @ refs.double().t()
    positive = labels[:, None] == ref_labels
    expected = torch.where(positive, 1 - similarities, (similarities - 0.5).relu()).sum() / 64
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(anchors.grad.double(), exact.grad, atol=1e-4, rtol=1e-5)


@pytest.mark.usefixtures("blocks")
def test_labels_that_share_their_low_bits_are_different(make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(7, seed=1)
    refs, ref_labels = make_batch(13, seed=2)
    loss = ContrastiveLoss(margin=0.2)
    spread = torch.tensor([-5 * 2**40, 2**16, 2**62])  # the three class ids, the last two equal in their low bits
    torch.testing.assert_close(
        loss(embeddings, spread[labels], refs, spread[ref_labels]), loss(embeddings, labels, refs, ref_labels)
    )


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("own_label", [0, 1])
def test_own_row_is_left_out_whatever_it_holds(own_label: int, make_batch: MakeBatch) -> None:
    embedding, label = make_batch(1)[0], torch.tensor([0])
    refs, ref_labels = make_batch(12, seed=5)
    ref_labels[8] = own_label
    results = []
    for fill in (embedding[0], -embedding[0], torch.full((8,), 1e6)):
        anchor, rows = embedding.clone().requires_grad_(), refs.clone()
        rows[8] = fill
        rows.requires_grad_()
        value = ContrastiveLoss(margin=0.0)(anchor, label, rows, ref_labels, self_index=torch.tensor([8]))
        value.backward()
        results.append((value.detach(), anchor.grad, rows.grad))
    for value, grad, ref_grad in results:
        assert torch.equal(value, results[0][0])
        assert torch.equal(grad, results[0][1])
        assert torch.equal(ref_grad[8], torch.zeros(8))
    assert results[0][0] > 0


def test_exact_duplicates_are_kept_apart_from_self_pairs() -> None:
    point = torch.tensor([[1.0, 0.0]])
    embeddings = point.repeat(3, 1).requires_grad_()
    loss = ContrastiveLoss(margin=0.5)
    same = loss(embeddings, torch.tensor([4, 4, 4]))
    assert same.item() == 0.0
    same.backward()
    torch.testing.assert_close(embeddings.grad, -4 / 3 * point.repeat(3, 1))  # two positives, each pair counted twice
    assert loss(embeddings, torch.tensor([1, 2, 3])).item() == pytest.approx(2 * 0.5)


def test_references_in_low_precision_get_their_own_gradient(make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(6)
    refs = make_batch(9, seed=4)[0].bfloat16().requires_grad_()
    ContrastiveLoss(margin=-0.5)(embeddings, labels, refs, torch.arange(9) % 3).backward()
    assert refs.grad is not None
    assert refs.grad.dtype == torch.bfloat16
    assert refs.grad.abs().sum() > 0


def test_gradient_of_a_normalised_model_descends(make_batch: MakeBatch) -> None:
    raw, labels = make_batch(12)
    raw = raw.clone().requires_grad_()
    loss, optimizer = ContrastiveLoss(), torch.optim.SGD([raw], lr=0.05)
    values = []
    for _ in range(40):
        optimizer.zero_grad()
        value = loss(normalize(raw, dim=1), labels)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert values[-1] < 0.2 * values[0]


@pytest.mark.parametrize("margin", [1.0, -1.1, math.nan, math.inf])
def test_margin_outside_the_cosines_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match=r"margin in \[-1, 1\)"):
        ContrastiveLoss(margin)
