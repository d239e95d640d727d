"""ExternalLoss around losses of pytorch-metric-learning, against direct calls of these losses."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from pytorch_metric_learning import losses as peers
from torch import Tensor, nn

from hf_vitret.losses import ExternalLoss, RetrievalLoss

MakeBatch = Callable[..., tuple[Tensor, Tensor]]

BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "MultiSimilarityLoss": peers.MultiSimilarityLoss,
    "TripletMarginLoss": lambda: peers.TripletMarginLoss(margin=0.3),
    "ProxyAnchorLoss": lambda: peers.ProxyAnchorLoss(num_classes=3, embedding_size=8),
    "ArcFaceLoss": lambda: peers.ArcFaceLoss(num_classes=3, embedding_size=8),
}
# Losses that compare images with images, and take references; the others compare images with proxies.
COMPARING = ["MultiSimilarityLoss", "TripletMarginLoss"]


def build(name: str) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return BUILDERS[name]()


class Returns(nn.Module):
    """A loss that returns the value it was built with."""

    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value

    def forward(self, embeddings: Tensor, labels: Tensor) -> object:
        return self.value


@pytest.mark.parametrize("name", BUILDERS)
def test_batch_alone_equals_the_direct_call(name: str, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(12)
    direct, wrapped = build(name), ExternalLoss(build(name))
    ours, theirs = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    terms, expected = wrapped(ours, labels), direct(theirs, labels)
    assert list(terms) == ["loss"]
    assert torch.equal(terms["loss"], expected)
    terms["loss"].backward()
    expected.backward()
    assert theirs.grad.abs().sum() > 0
    assert torch.equal(ours.grad, theirs.grad)
    assert len(list(wrapped.parameters())) == len(list(direct.parameters()))
    for parameter, peer in zip(wrapped.parameters(), direct.parameters()):
        assert torch.equal(parameter.grad, peer.grad)


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("shards", [2, 4])
def test_processes_together_equal_one(shards: int, name: str, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(12)
    one, wrapped = build(name), ExternalLoss(build(name))
    whole, parts = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    expected = one(whole, labels)
    expected.backward()
    # The backward of each process gives a gradient for all rows. The gather sums them, and the average over the
    # processes divides the sum.
    for rows in torch.arange(12).chunk(shards):
        value = wrapped(parts[rows], labels[rows], parts, labels, self_index=rows)["loss"]
        assert torch.equal(value, expected)
        (value / shards).backward()
    torch.testing.assert_close(parts.grad, whole.grad)
    for parameter, peer in zip(wrapped.parameters(), one.parameters()):
        torch.testing.assert_close(parameter.grad, peer.grad)


@pytest.mark.parametrize("name", COMPARING)
def test_other_references_equal_the_direct_call(name: str, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(6)
    refs, ref_labels = make_batch(15, seed=2)
    ours, theirs = refs.clone().requires_grad_(), refs.clone().requires_grad_()
    value = ExternalLoss(build(name))(embeddings, labels, ours, ref_labels)["loss"]
    expected = build(name)(embeddings, labels, ref_emb=theirs, ref_labels=ref_labels)
    assert torch.equal(value, expected)
    value.backward()
    expected.backward()
    assert theirs.grad.abs().sum() > 0
    assert torch.equal(ours.grad, theirs.grad)


def test_own_memory_of_a_wrapped_loss_works(make_batch: MakeBatch) -> None:
    def queued() -> nn.Module:
        return peers.CrossBatchMemory(peers.MultiSimilarityLoss(), embedding_size=8, memory_size=20)

    direct, wrapped = queued(), ExternalLoss(queued())
    for step in range(3):
        embeddings, labels = make_batch(6, seed=step)
        assert torch.equal(wrapped(embeddings, labels)["loss"], direct(embeddings, labels))
    assert torch.equal(wrapped.loss.embedding_memory, direct.embedding_memory)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", BUILDERS)
def test_runs_in_float32_whatever_comes_in(name: str, dtype: torch.dtype, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(12)
    low = embeddings.to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = ExternalLoss(build(name))(low, labels)["loss"]
    assert value.dtype == torch.float32
    assert torch.equal(value, build(name)(low.detach().float(), labels))
    value.backward()
    assert low.grad.dtype == dtype


@pytest.mark.parametrize("refs", [False, True])
def test_any_module_is_called_with_two_arguments(refs: bool, make_batch: MakeBatch) -> None:
    class Spread(nn.Module):
        def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
            return embeddings.std(dim=0).sum()

    embeddings, labels = make_batch(8)
    rows = torch.arange(4)
    arguments = (embeddings[:4], labels[:4], embeddings, labels) if refs else (embeddings, labels)
    value = ExternalLoss(Spread())(*arguments, self_index=rows if refs else None)["loss"]
    assert torch.equal(value, embeddings.std(dim=0).sum())


def test_references_it_cannot_be_given_are_refused(make_batch: MakeBatch) -> None:
    with pytest.raises(ValueError, match="Returns has no parameters ref_emb and ref_labels"):
        ExternalLoss(Returns(torch.zeros(())))(*make_batch(4), *make_batch(5, seed=2))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ({"loss": torch.zeros(())}, TypeError, "scalar tensor, got dict"),
        (0.5, TypeError, "scalar tensor, got float"),
        (torch.zeros(4), ValueError, r"got shape \(4,\)"),
        (torch.zeros(1), ValueError, r"got shape \(1,\)"),
    ],
)
def test_anything_but_one_number_is_refused(
    value: object, error: type[Exception], message: str, make_batch: MakeBatch
) -> None:
    with pytest.raises(error, match=message):
        ExternalLoss(Returns(value))(*make_batch(4))


@pytest.mark.parametrize("loss", [peers.TripletMarginLoss, lambda embeddings, labels: embeddings.sum()])
def test_what_is_no_module_is_refused(loss: object) -> None:
    with pytest.raises(TypeError, match="pass an instance"):
        ExternalLoss(loss)  # type: ignore[arg-type]


def test_whole_objective_is_no_pair_loss(make_batch: MakeBatch) -> None:
    with pytest.raises(TypeError, match="ExternalLoss to return a scalar tensor, got dict"):
        RetrievalLoss(pair_loss=ExternalLoss(peers.TripletMarginLoss()))(*make_batch(4))
