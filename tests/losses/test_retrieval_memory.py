"""The memory of RetrievalLoss: its first step, the embeddings of a momentum encoder in it, and its state on resume."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from hf_vitret.losses import RetrievalLoss

MakeBatch = Callable[..., tuple[Tensor, Tensor]]
Oracle = Callable[..., Tensor]


@pytest.mark.parametrize("start", [1, 3])
def test_memory_starts_after_so_many_training_batches(start: int, make_batch: MakeBatch) -> None:
    late = RetrievalLoss(memory_size=40, embedding_dim=8, memory_start_step=start)
    fresh = RetrievalLoss(memory_size=40, embedding_dim=8)
    for step in range(start):
        late.eval()(*make_batch(6, seed=50 + step))  # evaluation does not count
        late.train()
        batch = make_batch(6, seed=step)
        terms, plain = late(*batch), RetrievalLoss()(*batch)
        assert terms["memory"].item() == 0.0
        assert terms["memory"].dtype == torch.float32
        assert terms["loss"].item() == plain["loss"].item()
        assert list(terms) == ["loss", "contrastive", "memory", "koleo"]
        assert len(late.memory) == 0
        assert late.eval()(*batch)["memory"].item() == 0.0
        late.train()
    for step in range(start, start + 3):
        batch = make_batch(6, seed=step)
        assert late(*batch) == fresh(*batch)
    assert late(*make_batch(6))["memory"].item() > 0.0
    assert late.state_dict()["step"].item() == start + 4


def test_resumed_before_the_memory_starts_equals_the_uninterrupted_run(make_batch: MakeBatch) -> None:
    def build() -> RetrievalLoss:
        return RetrievalLoss(memory_size=15, embedding_dim=8, memory_start_step=3)

    straight = build()
    values = [straight(*make_batch(6, seed=seed))["loss"].item() for seed in range(6)]
    for stop in range(1, 6):
        first, second = build(), build()
        resumed = [first(*make_batch(6, seed=seed))["loss"].item() for seed in range(stop)]
        second.load_state_dict(copy.deepcopy(first.state_dict()))
        resumed += [second(*make_batch(6, seed=seed))["loss"].item() for seed in range(stop, 6)]
        assert resumed == values


def test_memory_held_before_the_start_is_not_compared_with(make_batch: MakeBatch) -> None:
    early = RetrievalLoss(memory_size=15, embedding_dim=8)
    early(*make_batch(6))
    late = RetrievalLoss(memory_size=15, embedding_dim=8, memory_start_step=9)
    late.load_state_dict(early.state_dict())
    assert len(late.memory) == 6
    assert late(*make_batch(6))["memory"].item() == late.eval()(*make_batch(6))["memory"].item() == 0.0


def test_state_is_the_memory_and_the_step() -> None:
    names = list(RetrievalLoss(memory_size=5, embedding_dim=8, memory_start_step=2).state_dict())
    assert sorted(names) == ["memory.count", "memory.embeddings", "memory.labels", "memory.pointer", "step"]
    assert list(RetrievalLoss(memory_start_step=2).state_dict()) == []


def test_momentum_rows_are_held_in_place_of_the_batch(make_batch: MakeBatch, naive_contrastive: Oracle) -> None:
    loss = RetrievalLoss(memory_size=12, embedding_dim=8, margin=0.2)
    held, held_labels = [], []
    for step in range(3):  # 15 rows: the last step wraps
        embeddings, labels = make_batch(5, seed=step)
        slow = normalize(embeddings + 0.3 * make_batch(5, seed=step + 20)[0], dim=1)
        anchors, exact = embeddings.clone().requires_grad_(), embeddings.double().requires_grad_()
        slow_leaf = slow.clone().requires_grad_()
        terms = loss(anchors, labels, memory_embeddings=slow_leaf)
        held, held_labels = [*held, *slow.double()][-12:], [*held_labels, *labels.tolist()][-12:]
        own = list(range(len(held) - 5, len(held)))
        batch_term = naive_contrastive(exact, labels.tolist(), exact, labels.tolist(), range(5), 0.2)
        memory_term = naive_contrastive(exact, labels.tolist(), torch.stack(held), held_labels, own, 0.2)
        assert terms["contrastive"].item() == pytest.approx(batch_term.item(), abs=1e-5)
        assert terms["memory"].item() == pytest.approx(memory_term.item(), abs=1e-5)
        terms["loss"].backward()
        assert slow_leaf.grad is None
    assert len(loss.memory) == 12


@pytest.mark.parametrize("shards", [2, 4])
def test_momentum_rows_of_processes_together_equal_one(shards: int, make_batch: MakeBatch) -> None:
    def build() -> RetrievalLoss:
        return RetrievalLoss(memory_size=20, embedding_dim=8, memory_start_step=1)

    one, ranks = build(), [build() for _ in range(shards)]
    for step in range(4):
        embeddings, labels = make_batch(8, seed=step)
        slow = make_batch(8, seed=step + 20)[0]
        whole, parts = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
        expected = one(whole, labels, memory_embeddings=slow)
        split = [
            loss(parts[rows], labels[rows], parts, labels, self_index=rows, memory_embeddings=slow)
            for loss, rows in zip(ranks, torch.arange(8).chunk(shards))
        ]
        for name, value in expected.items():
            torch.testing.assert_close(sum(terms[name] for terms in split) / shards, value)
        expected["loss"].backward()
        (sum(terms["loss"] for terms in split) / shards).backward()
        torch.testing.assert_close(parts.grad, whole.grad)
        for loss in ranks:
            for name, buffer in one.state_dict().items():
                assert torch.equal(loss.state_dict()[name], buffer)


def test_momentum_rows_that_do_not_fit_are_refused(make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(4)
    loss = RetrievalLoss(memory_size=20, embedding_dim=8)
    with pytest.raises(ValueError, match=r"memory_embeddings of shape \(4, 8\)"):
        loss(embeddings, labels, memory_embeddings=embeddings[:3])
    with pytest.raises(ValueError, match=r"memory_embeddings of shape \(4, 8\)"):
        loss(embeddings[:2], labels[:2], embeddings, labels, memory_embeddings=embeddings[:2])
    with pytest.raises(ValueError, match="only with a memory"):
        RetrievalLoss()(embeddings, labels, memory_embeddings=embeddings)
    assert len(loss.memory) == 0
