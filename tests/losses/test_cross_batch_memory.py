"""CrossBatchMemory against a python deque, and its state through saving, casting and copying."""

from __future__ import annotations

import copy
import io
import random
from collections import deque

import pytest
import torch

from hf_vitret.losses import CrossBatchMemory


def filled(rows: int, memory_size: int = 10, seed: int = 0) -> CrossBatchMemory:
    """Return a memory of dimension 3 after ``rows`` rows in batches of up to 4."""
    memory = CrossBatchMemory(memory_size, embedding_dim=3)
    generator = torch.Generator().manual_seed(seed)
    for start in range(0, rows, 4):
        batch = min(4, rows - start)
        memory.enqueue(torch.randn(batch, 3, generator=generator), torch.arange(start, start + batch))
    return memory


@pytest.mark.parametrize("memory_size", [1, 2, 7, 16])
def test_holds_what_a_deque_holds(memory_size: int) -> None:
    rng, memory = random.Random(memory_size), CrossBatchMemory(memory_size, embedding_dim=2)
    expected: deque[tuple[float, float, int]] = deque(maxlen=memory_size)
    for _ in range(200):
        batch = rng.randint(0, memory_size)
        rows, labels = torch.randn(batch, 2), torch.randint(-2, 3, (batch,))
        slots = memory.enqueue(rows, labels)
        expected.extend((*row, label) for row, label in zip(rows.tolist(), labels.tolist()))
        embeddings, held = memory.contents()
        assert slots.shape == (batch,)
        assert torch.equal(embeddings[slots], rows)
        assert torch.equal(held[slots], labels)
        assert len(memory) == len(expected) == int(memory.count)
        oldest = int(memory.pointer) if len(memory) == memory_size else 0
        ring = [(oldest + i) % memory_size for i in range(len(memory))]
        assert [(*embeddings[i].tolist(), int(held[i])) for i in ring] == list(expected)


def test_label_zero_in_the_last_slot_does_not_empty_it() -> None:
    memory = CrossBatchMemory(4, embedding_dim=2)
    memory.enqueue(torch.eye(2).repeat(2, 1), torch.zeros(4, dtype=torch.int64))
    memory.enqueue(torch.eye(2), torch.tensor([0, 0]))
    assert len(memory) == 4
    assert memory.contents()[1].tolist() == [0, 0, 0, 0]


def test_contents_are_views() -> None:
    memory = filled(6)
    embeddings, labels = memory.contents()
    assert embeddings.data_ptr() == memory.embeddings.data_ptr()
    assert labels.data_ptr() == memory.labels.data_ptr()


def test_rows_are_detached_float32_copies() -> None:
    memory = CrossBatchMemory(4, embedding_dim=2)
    rows = torch.tensor([[0.1, 0.2]], dtype=torch.bfloat16, requires_grad=True)
    memory.enqueue(rows, torch.tensor([1], dtype=torch.int32))
    embeddings, _ = memory.contents()
    assert embeddings.dtype == torch.float32
    assert not embeddings.requires_grad
    assert torch.equal(embeddings, rows.detach().float())


@pytest.mark.parametrize("rows", [0, 6, 10, 17])
def test_state_dict_restores_exactly_also_mid_wrap(rows: int) -> None:
    memory = filled(rows)
    file = io.BytesIO()
    torch.save(memory.state_dict(), file)
    file.seek(0)
    restored = CrossBatchMemory(10, embedding_dim=3)
    restored.load_state_dict(torch.load(file, weights_only=True))
    for each in (memory, restored):
        each.enqueue(torch.full((3, 3), 0.5), torch.tensor([7, 8, 9]))
    assert len(restored) == len(memory)
    for name, buffer in memory.state_dict().items():
        assert torch.equal(restored.state_dict()[name], buffer)
    assert set(memory.state_dict()) == {"embeddings", "labels", "pointer", "count"}


def test_loading_an_earlier_state_goes_back() -> None:
    memory = filled(3)
    state = copy.deepcopy(memory.state_dict())
    memory.enqueue(torch.ones(4, 3), torch.arange(4))
    memory.load_state_dict(state)
    assert len(memory) == 3
    assert memory.enqueue(torch.ones(1, 3), torch.tensor([5])).tolist() == [3]


def test_state_of_another_size_is_refused() -> None:
    with pytest.raises(RuntimeError, match="size mismatch"):
        CrossBatchMemory(11, embedding_dim=3).load_state_dict(filled(6).state_dict())


@pytest.mark.parametrize("cast", ["half", "bfloat16", "double"])
def test_casting_the_module_keeps_the_exact_rows(cast: str) -> None:
    memory = filled(6)
    before = memory.contents()[0].clone()
    parent = torch.nn.Sequential(memory)
    getattr(parent, cast)()
    assert memory.embeddings.dtype == torch.float32
    assert torch.equal(memory.contents()[0], before)
    parent.to(torch.bfloat16)
    memory.enqueue(torch.rand(5, 3), torch.arange(5))
    assert memory.contents()[0].dtype == torch.float32
    assert memory.labels.dtype == torch.int64


def test_moving_the_module_moves_every_buffer() -> None:
    memory = filled(6).to("meta", torch.float16)
    assert {buffer.device.type for buffer in memory.buffers()} == {"meta"}
    assert memory.embeddings.dtype == torch.float32


def test_deep_copy_is_independent() -> None:
    memory = filled(6)
    twin = copy.deepcopy(memory)
    twin.enqueue(torch.ones(3, 3), torch.arange(3))
    assert (len(memory), len(twin)) == (6, 9)
    assert not torch.equal(memory.embeddings, twin.embeddings)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_rows_that_are_not_finite_do_not_poison_it(bad: float) -> None:
    memory = CrossBatchMemory(4, embedding_dim=2)
    memory.enqueue(torch.tensor([[1.0, bad], [0.6, 0.8]]), torch.tensor([1, 2]))
    assert memory.contents()[0].tolist() == [[0.0, 0.0], [pytest.approx(0.6), pytest.approx(0.8)]]


def test_nothing_is_written_when_a_batch_is_refused() -> None:
    memory = filled(6)
    before = copy.deepcopy(memory.state_dict())
    with pytest.raises(ValueError, match="at most 10 rows"):
        memory.enqueue(torch.ones(11, 3), torch.arange(11))
    with pytest.raises(ValueError, match="dimension 3"):
        memory.enqueue(torch.ones(2, 4), torch.arange(2))
    with pytest.raises(ValueError, match="where the memory is"):
        memory.enqueue(torch.ones(2, 3, device="meta"), torch.ones(2, dtype=torch.int64, device="meta"))
    for name, buffer in memory.state_dict().items():
        assert torch.equal(buffer, before[name])


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="RetrievalLoss\\(memory_size=0\\)"):
        CrossBatchMemory(0, embedding_dim=3)
    with pytest.raises(ValueError, match="embedding_dim of at least 1"):
        CrossBatchMemory(3, embedding_dim=0)
