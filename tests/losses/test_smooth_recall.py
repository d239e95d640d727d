"""SmoothRecallLoss against a triple loop, the recall of a sorted list, and rankings at which sigmoids saturate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from hf_vitret.losses import SmoothRecallLoss, smooth_recall

MakeBatch = Callable[..., tuple[Tensor, Tensor]]


def naive_smooth_recall(
    embeddings: Tensor,
    labels: Sequence[int],
    refs: Tensor,
    ref_labels: Sequence[int],
    own_rows: Sequence[int | None],
    *,
    ks: Sequence[int],
    rank_temperature: float,
    k_temperature: float,
) -> Tensor:
    """Return the loss comparison by comparison."""
    total = embeddings.new_zeros(())
    for i in range(len(embeddings)):
        others = [j for j in range(len(refs)) if j != own_rows[i]]
        positives = [j for j in others if ref_labels[j] == labels[i]]
        if not positives:
            continue
        similarity = {j: (embeddings[i] * refs[j]).sum() for j in others}
        ranks = [
            1 + sum(torch.sigmoid((similarity[j] - similarity[p]) / rank_temperature) for j in others if j != p)
            for p in positives
        ]
        for k in ks:
            found = sum(torch.sigmoid((k - rank) / k_temperature) for rank in ranks)
            found = found if found < k else torch.full_like(found, k)
            total = total + (1 - found / min(k, len(positives))) / len(ks)
    return total / len(embeddings)


@pytest.fixture(params=["one anchor", "a few", "all"])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks of one anchor and one positive, of a few, or of all."""
    monkeypatch.setattr(smooth_recall, "_BLOCK", {"one anchor": 1, "a few": 60, "all": 2**22}[request.param])


@pytest.mark.usefixtures("block")
@pytest.mark.parametrize(
    "settings",
    [
        {"ks": (1, 2, 4), "rank_temperature": 0.1, "k_temperature": 1.0},
        {"ks": (3,), "rank_temperature": 0.05, "k_temperature": 0.5},
        {
            "ks": (1, 2, 9),
            "rank_temperature": 0.2,
            "k_temperature": 20.0,
        },  # for k = 1 and 2 more than k are found, and cut off
    ],
)
@pytest.mark.parametrize("refs", ["itself", "own rows inside", "others"])
def test_equals_the_triple_loop(refs: str, settings: dict, make_case: Callable) -> None:
    def oracle(*case: object) -> Tensor:
        return naive_smooth_recall(*case, **settings)  # type: ignore[arg-type]

    make_case(refs).compare(SmoothRecallLoss(**settings), oracle)


def test_equals_the_triple_loop_at_the_default_temperatures(make_case: Callable) -> None:
    def oracle(*case: object) -> Tensor:
        return naive_smooth_recall(*case, ks=(1, 2, 4, 8, 16), rank_temperature=0.01, k_temperature=1.0)  # type: ignore[arg-type]

    make_case("others").compare(SmoothRecallLoss(), oracle, tolerance=1e-4)


def test_three_points_by_hand() -> None:
    # The first point is the anchor. Its ranking has the positive at 0.6 and one negative at 0.8.
    embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, -0.6]])
    value = SmoothRecallLoss(ks=(1,), rank_temperature=0.1)(
        embeddings[:1], torch.tensor([0]), embeddings[1:], torch.tensor([0, 1])
    )
    rank = 1 + 1 / (1 + math.exp(-2.0))
    assert value.item() == pytest.approx(1 - 1 / (1 + math.exp(rank - 1)), abs=1e-6)


def test_cold_temperatures_give_the_recall_of_the_sorted_list(make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(40, classes=6, seed=5)
    ks = (1, 2, 5, 10)
    value = SmoothRecallLoss(ks, rank_temperature=1e-7, k_temperature=1e-3)(embeddings, labels)
    similarities = embeddings.double() @ embeddings.double().t()
    recalls = []
    for i, row in enumerate(similarities.fill_diagonal_(-math.inf)):
        right = labels[row.argsort(descending=True)[:-1]] == labels[i]
        # A positive at rank k exactly counts one half.
        recalls += [(right[:k].sum() - 0.5 * right[k - 1]) / min(k, int(right.sum())) for k in ks]
    assert value.item() == pytest.approx(1 - torch.stack(recalls).mean().item(), abs=1e-5)


def test_own_row_is_in_no_ranking(make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(1)[0], torch.tensor([0])
    refs, ref_labels = make_batch(12, seed=5)
    results = []
    for own_label in (0, 1):
        for fill in (embeddings[0], torch.full((8,), 1e6)):
            rows, row_labels = refs.clone(), ref_labels.clone()
            rows[8], row_labels[8] = fill, own_label
            anchor, rows = embeddings.clone().requires_grad_(), rows.requires_grad_()
            value = SmoothRecallLoss()(anchor, labels, rows, row_labels, self_index=torch.tensor([8]))
            value.backward()
            assert torch.equal(rows.grad[8], torch.zeros(8))
            results.append(torch.cat([value[None], anchor.grad[0]]))
    assert all(torch.equal(result, results[0]) for result in results)


def test_memory_is_a_few_blocks(
    make_batch: MakeBatch, largest_tensor: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smooth_recall, "_BLOCK", 20_000)
    embeddings, labels = make_batch(100, classes=30, seed=1)
    refs, ref_labels = make_batch(1000, classes=30, seed=2)
    embeddings.requires_grad_()
    with largest_tensor() as largest:
        SmoothRecallLoss()(embeddings, labels, refs, ref_labels).backward()
    assert largest.numel == 20_000  # batch x references 100,000; times positives 3,000,000


def test_one_class_alone_has_one_perfect_ranking(make_batch: MakeBatch) -> None:
    embeddings, _ = make_batch(5)
    embeddings.requires_grad_()
    value = SmoothRecallLoss(ks=(50,))(embeddings, torch.zeros(5, dtype=torch.int64))
    value.backward()
    assert value.item() == pytest.approx(0.0, abs=1e-6)
    assert embeddings.grad.abs().max() < 1e-6


def test_anchors_without_positives_add_zero(make_batch: MakeBatch) -> None:
    embeddings, _ = make_batch(4)
    loss, ref_labels = SmoothRecallLoss(), torch.tensor([0, 0, 1, 2])
    pair = loss(embeddings[:2], torch.tensor([0, 0]), embeddings, ref_labels)
    both = loss(embeddings, torch.tensor([0, 0, 7, 8]), embeddings, ref_labels)
    assert both.item() == pytest.approx(pair.item() / 2, rel=1e-6)
    assert pair.item() > 0


def test_descending_raises_recall(make_batch: MakeBatch) -> None:
    raw, labels = make_batch(32, classes=8, seed=3)
    raw = raw.clone().requires_grad_()
    loss, optimizer = SmoothRecallLoss(rank_temperature=0.1), torch.optim.Adam([raw], lr=0.05)

    def recall_at_1() -> float:
        similarities = normalize(raw.detach(), dim=1) @ normalize(raw.detach(), dim=1).t()
        return (labels[similarities.fill_diagonal_(-1.0).argmax(dim=1)] == labels).float().mean().item()

    before = recall_at_1()
    for _ in range(60):
        optimizer.zero_grad()
        loss(normalize(raw, dim=1), labels).backward()
        optimizer.step()
    assert before < 0.9
    assert recall_at_1() == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ks": ()}, "ks of at least one number"),
        ({"ks": (0, 1)}, "each at least 1"),
        ({"rank_temperature": 0.0}, "rank_temperature above 0"),
        ({"k_temperature": math.nan}, "finite k_temperature"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SmoothRecallLoss(**settings)


def test_repr_shows_every_setting() -> None:
    assert repr(SmoothRecallLoss()) == "SmoothRecallLoss(ks=(1, 2, 4, 8, 16), rank_temperature=0.01, k_temperature=1.0)"
