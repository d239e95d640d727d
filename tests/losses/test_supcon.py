"""SupConLoss against a double loop, hand-computed points and pytorch-metric-learning."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from pytorch_metric_learning.losses import NTXentLoss
from pytorch_metric_learning.losses import SupConLoss as PeerSupConLoss
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from hf_vitret.losses import SupConLoss, supcon

MakeBatch = Callable[..., tuple[Tensor, Tensor]]


def naive_supcon(
    embeddings: Tensor,
    labels: Sequence[int],
    refs: Tensor,
    ref_labels: Sequence[int],
    own_rows: Sequence[int | None],
    *,
    temperature: float,
    denominator: str,
) -> Tensor:
    """Eq. (2), positive by positive."""
    total = embeddings.new_zeros(())
    for i in range(len(embeddings)):
        others = [j for j in range(len(refs)) if j != own_rows[i]]
        positives = [j for j in others if ref_labels[j] == labels[i]]
        for p in positives:
            in_sum = others if denominator == "all" else [p, *(j for j in others if ref_labels[j] != labels[i])]
            bottom = sum(((embeddings[i] * refs[j]).sum() / temperature).exp() for j in in_sum)
            top = ((embeddings[i] * refs[p]).sum() / temperature).exp()
            total = total - (top / bottom).log() / len(positives)
    return total / len(embeddings)


@pytest.fixture
def short_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks of five references."""
    monkeypatch.setattr(supcon, "_BLOCK", 1)
    monkeypatch.setattr(supcon, "_MIN_CHUNK", 5)


def test_four_points_by_hand(circle: tuple[Tensor, Tensor]) -> None:
    half, root = math.exp(0.5), math.exp(math.sqrt(3) / 2)  # 60 and 30 degrees; 90 has exp(0), 120 exp(-1/2)
    low, least = 1 / half, math.exp(-1.0)
    terms = [
        math.log((half + 1 + least) / half),  # from 0 degrees: 60, 90, 180; the positive is 60
        math.log((half + root + low) / half),  # from 60: 0, 90, 180; 0
        math.log((1 + root + 1) / 1),  # from 90: 0, 60, 180; 180
        math.log((least + low + 1) / 1),  # from 180: 0, 60, 90; 90
    ]
    assert SupConLoss(temperature=1.0)(*circle).item() == pytest.approx(sum(terms) / 4, abs=1e-6)


@pytest.mark.usefixtures("short_chunks")
@pytest.mark.parametrize("denominator", ["all", "negatives"])
@pytest.mark.parametrize("temperature", [0.05, 0.5])
@pytest.mark.parametrize("refs", ["itself", "own rows inside", "others"])
def test_equals_the_double_loop(refs: str, temperature: float, denominator: str, make_case: Callable) -> None:
    def oracle(*case: object) -> Tensor:
        return naive_supcon(*case, temperature=temperature, denominator=denominator)  # type: ignore[arg-type]

    make_case(refs).compare(SupConLoss(temperature, denominator), oracle)


def test_equals_pytorch_metric_learning(make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(24, dim=16, classes=9)  # some classes have one row
    assert 1 in torch.bincount(labels)
    ours, theirs = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    value = SupConLoss(temperature=0.2)(ours, labels)
    expected = PeerSupConLoss(temperature=0.2, reducer=MeanReducer())(theirs, labels)
    torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
    value.backward()
    expected.backward()
    # Their loss normalises its inputs, so its gradient has no component along the embedding.
    along = (ours.grad * embeddings).sum(dim=1, keepdim=True) * embeddings
    torch.testing.assert_close(ours.grad - along, theirs.grad, atol=1e-5, rtol=1e-5)


def test_negatives_equal_the_ntxent_of_pytorch_metric_learning(make_batch: MakeBatch) -> None:
    embeddings, _ = make_batch(24, dim=16)
    labels = torch.arange(24) % 6  # their loss is a mean over pairs: the same if all anchors have equally many
    refs, ref_labels = make_batch(30, dim=16, seed=4)[0], torch.arange(30) % 6
    ours, theirs = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    value = SupConLoss(0.2, "negatives")(ours, labels, refs, ref_labels)
    expected = NTXentLoss(temperature=0.2)(theirs, labels, ref_emb=refs, ref_labels=ref_labels)
    torch.testing.assert_close(value, expected, atol=1e-5, rtol=1e-5)
    value.backward()
    expected.backward()
    along = (ours.grad * embeddings).sum(dim=1, keepdim=True) * embeddings
    torch.testing.assert_close(ours.grad - along, theirs.grad, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("denominator", ["all", "negatives"])
def test_many_chunks_of_the_real_size_equal_one_product(denominator: str, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(64, dim=16, classes=40, seed=1)
    refs, ref_labels = make_batch(40_000, dim=16, classes=40, seed=2)
    anchors = embeddings.clone().requires_grad_()
    value = SupConLoss(0.1, denominator)(anchors, labels, refs, ref_labels)
    value.backward()

    exact = embeddings.double().requires_grad_()
    logits = exact @ refs.double().t() / 0.1
    positive = labels[:, None] == ref_labels
    if denominator == "all":
        terms = logits.logsumexp(dim=1, keepdim=True) - logits
    else:
        negatives = logits.masked_fill(positive, -math.inf).logsumexp(dim=1, keepdim=True)
        terms = torch.logaddexp(negatives, logits) - logits
    expected = (terms * positive).sum(dim=1).div(positive.sum(dim=1)).mean()
    expected.backward()
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    torch.testing.assert_close(anchors.grad.double(), exact.grad, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("denominator", ["all", "negatives"])
def test_memory_is_a_few_blocks(denominator: str, make_batch: MakeBatch, largest_tensor: Callable) -> None:
    embeddings, labels = make_batch(1024, dim=4, seed=1)
    refs, ref_labels = make_batch(3000, dim=4, seed=2)
    embeddings.requires_grad_()
    with largest_tensor() as largest:
        SupConLoss(0.1, denominator)(embeddings, labels, refs, ref_labels).backward()
    assert largest.numel == supcon._BLOCK < 1024 * 3000


@pytest.mark.parametrize("denominator", ["all", "negatives"])
def test_cold_temperature_neither_overflows_nor_vanishes(denominator: str) -> None:
    embeddings = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]]).requires_grad_()
    value = SupConLoss(1e-3, denominator)(embeddings, torch.tensor([0, 0, 1]))  # the positive is the farthest
    value.backward()
    # The logits of anchor 0 are -1000 for its positive and 1000 for the negative, those of anchor 1 are both -1000.
    assert value.item() == pytest.approx((2000 + math.log(2)) / 3, rel=1e-6)
    assert embeddings.grad.isfinite().all()
    assert embeddings.grad.abs().max() > 100


@pytest.mark.parametrize("denominator", ["all", "negatives"])
def test_anchors_without_positives_add_zero(denominator: str, make_batch: MakeBatch) -> None:
    embeddings, _ = make_batch(4)
    loss = SupConLoss(0.5, denominator)
    pair = loss(embeddings[:2], torch.tensor([0, 0]), embeddings, torch.tensor([0, 0, 1, 2]))
    both = loss(embeddings, torch.tensor([0, 0, 7, 8]), embeddings, torch.tensor([0, 0, 1, 2]))
    assert both.item() == pytest.approx(pair.item() / 2, rel=1e-6)


def test_without_negatives_positives_do_not_compete(make_batch: MakeBatch) -> None:
    embeddings = make_batch(4)[0].requires_grad_()
    value = SupConLoss(denominator="negatives")(embeddings, torch.zeros(4, dtype=torch.int64))
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(embeddings.grad, torch.zeros(4, 8))
    assert SupConLoss(denominator="all")(embeddings, torch.zeros(4, dtype=torch.int64)) > math.log(2)


@pytest.mark.parametrize("temperature", [0.0, -0.1, math.nan, math.inf])
def test_temperature_that_divides_nothing_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match="finite temperature above 0"):
        SupConLoss(temperature)


def test_unknown_denominator_is_refused() -> None:
    with pytest.raises(ValueError, match="denominator to be one of"):
        SupConLoss(denominator="positives")  # type: ignore[arg-type]


def test_repr_shows_every_setting() -> None:
    assert repr(SupConLoss(0.2, "negatives")) == "SupConLoss(temperature=0.2, denominator='negatives')"
