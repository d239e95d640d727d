"""RetrievalLoss: its terms against plain loops, its memory step by step, and its split over processes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hf_vitret.losses import PAIR_LOSSES, CrossBatchMemory, KoLeoLoss, NormalizedSoftmaxLoss, RetrievalLoss
from tests.losses.building import build

MakeBatch = Callable[..., tuple[Tensor, Tensor]]
Oracle = Callable[..., Tensor]


def test_terms_equal_the_double_loops(make_batch: MakeBatch, naive_contrastive: Oracle, naive_koleo: Oracle) -> None:
    loss = RetrievalLoss(margin=0.2, koleo_weight=0.7, memory_size=12, embedding_dim=8, memory_weight=0.5)
    memory_rows: list[Tensor] = []
    memory_labels: list[int] = []
    for step in range(3):  # 15 rows: the last step wraps
        embeddings, labels = make_batch(5, seed=step)
        memory_rows, memory_labels = [*memory_rows, *embeddings.double()], [*memory_labels, *labels.tolist()]
        memory_rows, memory_labels = memory_rows[-12:], memory_labels[-12:]
        anchors, exact = embeddings.clone().requires_grad_(), embeddings.double().requires_grad_()
        terms = loss(anchors, labels)
        held = torch.stack(memory_rows)
        own = list(range(len(held) - 5, len(held)))
        contrastive = naive_contrastive(exact, labels.tolist(), exact, labels.tolist(), range(5), 0.2)
        memory = naive_contrastive(exact, labels.tolist(), held, memory_labels, own, 0.2)
        koleo = naive_koleo(exact, labels.tolist(), exact, labels.tolist(), range(5), False)
        total = contrastive + 0.5 * memory + 0.7 * koleo
        assert set(terms) == {"loss", "contrastive", "memory", "koleo"}
        for name, expected in (
            ("contrastive", contrastive),
            ("memory", memory),
            ("koleo", koleo),
            ("loss", total),
        ):
            assert terms[name].item() == pytest.approx(expected.item(), abs=1e-5), name
            assert terms[name].requires_grad == (name == "loss")
        terms["loss"].backward()
        total.backward()
        torch.testing.assert_close(anchors.grad.double(), exact.grad, atol=1e-5, rtol=1e-5)


def test_without_a_memory_there_is_no_memory_term(make_batch: MakeBatch) -> None:
    loss = RetrievalLoss()
    terms = loss(*make_batch(6))
    assert list(terms) == ["loss", "contrastive", "koleo"]
    assert loss.state_dict() == {}


def test_evaluation_reads_and_does_not_write(make_batch: MakeBatch, naive_contrastive: Oracle) -> None:
    loss = RetrievalLoss(memory_size=20, embedding_dim=8)
    loss(*make_batch(6, seed=1))
    before = copy.deepcopy(loss.state_dict())
    loss.eval()
    embeddings, labels = make_batch(6, seed=2)
    terms = loss(embeddings, labels)
    expected = naive_contrastive(
        embeddings,
        labels.tolist(),
        before["memory.embeddings"][:6],
        before["memory.labels"][:6].tolist(),
        [None] * 6,
        0.5,
    )
    assert terms["memory"].item() == pytest.approx(expected.item(), abs=1e-5)
    for name, buffer in loss.state_dict().items():
        assert torch.equal(buffer, before[name])


def test_empty_memory_in_evaluation_is_zero(make_batch: MakeBatch) -> None:
    terms = RetrievalLoss(memory_size=20, embedding_dim=8).eval()(*make_batch(6))
    assert terms["memory"].item() == 0.0


@pytest.mark.parametrize("neighbors", ["all", "negatives"])
@pytest.mark.parametrize("shards", [2, 4])
def test_processes_together_equal_one(shards: int, neighbors: str, make_batch: MakeBatch) -> None:
    def build() -> RetrievalLoss:
        return RetrievalLoss(memory_size=20, embedding_dim=8, margin=0.3, koleo_neighbors=neighbors)

    one, ranks = build(), [build() for _ in range(shards)]
    for step in range(3):  # 24 rows: the last step wraps
        embeddings, labels = make_batch(8, seed=step)
        whole, parts = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
        expected = one(whole, labels)
        expected["loss"].backward()
        split = [
            loss(parts[rows], labels[rows], parts, labels, self_index=rows)
            for loss, rows in zip(ranks, torch.arange(8).chunk(shards))
        ]
        for name, value in expected.items():
            torch.testing.assert_close(sum(terms[name] for terms in split) / shards, value)
        (sum(terms["loss"] for terms in split) / shards).backward()
        torch.testing.assert_close(parts.grad, whole.grad)
        for loss in ranks:
            for name, buffer in one.state_dict().items():
                assert torch.equal(loss.state_dict()[name], buffer)


def test_references_without_the_anchors_are_remembered_too(make_batch: MakeBatch, naive_contrastive: Oracle) -> None:
    loss = RetrievalLoss(memory_size=20, embedding_dim=8)
    embeddings, labels = make_batch(4, seed=1)
    refs, ref_labels = make_batch(7, seed=2)
    terms = loss(embeddings, labels, refs, ref_labels)
    assert torch.equal(loss.memory.contents()[0], refs)
    expected = naive_contrastive(embeddings, labels.tolist(), refs, ref_labels.tolist(), [None] * 4, 0.5)
    assert terms["memory"].item() == pytest.approx(expected.item(), abs=1e-5)


def test_accumulated_steps_keep_their_own_gradients(make_batch: MakeBatch) -> None:
    batches = [make_batch(5, seed=seed) for seed in range(3)]
    grads = []
    for together in (True, False):
        loss = RetrievalLoss(memory_size=8, embedding_dim=8)
        leaves = [embeddings.clone().requires_grad_() for embeddings, _ in batches]
        values = []
        for leaf, (_, labels) in zip(leaves, batches):
            value = loss(leaf, labels)["loss"]
            if together:
                values.append(value)
            else:
                value.backward()
        if together:
            torch.stack(values).sum().backward()
        grads.append([leaf.grad for leaf in leaves])
    for first, second in zip(*grads):
        assert torch.equal(first, second)


@pytest.mark.parametrize("name", PAIR_LOSSES)
def test_pair_loss_makes_both_terms(name: str, make_batch: MakeBatch) -> None:
    pair_loss = build(PAIR_LOSSES[name], num_classes=3, embedding_dim=8)
    uses_memory = pair_loss.uses_references
    loss = RetrievalLoss(memory_size=12 * uses_memory, embedding_dim=8, memory_weight=0.5, pair_loss=pair_loss)
    held, held_labels = torch.empty(0, 8), torch.empty(0, dtype=torch.int64)
    for step in range(2):
        embeddings, labels = make_batch(6, seed=step)
        held, held_labels = torch.cat([held, embeddings]), torch.cat([held_labels, labels])
        anchors, same = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
        terms = loss(anchors, labels)
        expected = {name: pair_loss(same, labels)}
        total = expected[name] + 0.7 * KoLeoLoss()(same, labels)
        if uses_memory:
            own = torch.arange(6 * step, 6 * step + 6)
            expected["memory"] = pair_loss(same, labels, held, held_labels, self_index=own)
            total = total + 0.5 * expected["memory"]
        assert list(terms) == ["loss", *expected, "koleo"]
        for term, value in expected.items():
            torch.testing.assert_close(terms[term], value.detach())
        terms["loss"].backward()
        total.backward()
        torch.testing.assert_close(anchors.grad, same.grad)


def test_default_is_the_contrastive_loss(make_batch: MakeBatch) -> None:
    batch = make_batch(6)
    named = RetrievalLoss(pair_loss=PAIR_LOSSES["contrastive"](margin=0.3))(*batch)
    assert named == RetrievalLoss(margin=0.3)(*batch)


def test_any_module_with_the_signature_can_be_the_pair_loss(make_batch: MakeBatch) -> None:
    class Mean(torch.nn.Module):
        def forward(self, embeddings, labels, ref_embeddings=None, ref_labels=None, *, self_index=None):
            return embeddings.mean() if ref_embeddings is None else (embeddings @ ref_embeddings.t()).mean()

    embeddings, labels = make_batch(6)
    loss = RetrievalLoss(memory_size=9, embedding_dim=8, pair_loss=Mean())
    assert loss.eval()(embeddings, labels)["memory"].item() == 0.0  # the memory is empty: the loss is not called
    terms = loss.train()(embeddings, labels)
    assert terms["pair"].item() == pytest.approx(embeddings.mean().item(), abs=1e-6)
    assert terms["memory"].item() == pytest.approx((embeddings @ embeddings.t()).mean().item(), abs=1e-6)


def test_parameters_and_state_of_the_pair_loss_are_the_objectives() -> None:
    loss = RetrievalLoss(pair_loss=NormalizedSoftmaxLoss(3, 8))
    assert [name for name, _ in loss.named_parameters()] == ["pair_loss.proxies"]
    assert list(loss.state_dict()) == ["pair_loss.proxies"]


def test_memory_for_a_loss_that_compares_no_images_is_refused() -> None:
    with pytest.raises(ValueError, match="memory_size=0 with NormalizedSoftmaxLoss, got 5"):
        RetrievalLoss(memory_size=5, embedding_dim=8, pair_loss=NormalizedSoftmaxLoss(3, 8))


@pytest.mark.parametrize("weight", ["koleo_weight", "memory_weight"])
def test_weight_zero_reports_the_term_without_its_gradient(weight: str, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(6)
    settings = {"margin": 0.0, "koleo_weight": 0.7, "memory_weight": 1.0, weight: 0.0}
    term = weight.removesuffix("_weight")
    anchors = embeddings.clone().requires_grad_()
    terms = RetrievalLoss(memory_size=9, embedding_dim=8, **settings)(anchors, labels)
    weighted = RetrievalLoss(memory_size=9, embedding_dim=8, **{**settings, weight: 1.0})(embeddings, labels)
    assert terms[term].item() == weighted[term].item() != 0.0
    assert terms["loss"].item() == pytest.approx(weighted["loss"].item() - weighted[term].item(), abs=1e-5)
    terms["loss"].backward()
    assert anchors.grad.isfinite().all()


def test_resumed_run_equals_the_uninterrupted_one(make_batch: MakeBatch) -> None:
    def step(loss: RetrievalLoss, seed: int) -> float:
        return loss(*make_batch(6, seed=seed))["loss"].item()

    straight = RetrievalLoss(memory_size=15, embedding_dim=8)
    values = [step(straight, seed) for seed in range(6)]
    first = RetrievalLoss(memory_size=15, embedding_dim=8)
    for seed in range(4):
        step(first, seed)
    second = RetrievalLoss(memory_size=15, embedding_dim=8)
    second.load_state_dict(first.state_dict())
    assert [step(second, seed) for seed in (4, 5)] == values[4:]


def test_one_overflow_does_not_spoil_the_next_steps(make_batch: MakeBatch) -> None:
    loss = RetrievalLoss(memory_size=20, embedding_dim=8)
    embeddings, labels = make_batch(5)
    broken = embeddings.clone()
    broken[3] = math.nan
    assert loss(broken, labels)["loss"].isnan()
    anchors = embeddings.clone().requires_grad_()
    value = loss(anchors, labels)["loss"]
    value.backward()
    assert value.isfinite()
    assert anchors.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_module_and_inputs_under_autocast(dtype: torch.dtype, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(6)
    low, same = embeddings.to(dtype).requires_grad_(), embeddings.to(dtype).float()
    loss = RetrievalLoss(memory_size=10, embedding_dim=8).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = loss(low, labels)
    expected = RetrievalLoss(memory_size=10, embedding_dim=8)(same, labels)
    for name, value in terms.items():
        assert value.dtype == torch.float32
        assert value.item() == expected[name].item()
    terms["loss"].backward()
    assert low.grad.dtype == dtype


def test_compiled_equals_eager(make_batch: MakeBatch) -> None:
    eager, compiled = (RetrievalLoss(memory_size=9, embedding_dim=8) for _ in range(2))
    run = torch.compile(compiled, backend="eager")
    for seed in range(3):
        embeddings, labels = make_batch(6, seed=seed)
        ours, theirs = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
        expected, terms = eager(ours, labels), run(theirs, labels)
        for name, value in expected.items():
            assert terms[name].item() == pytest.approx(value.item(), abs=1e-6)
        expected["loss"].backward()
        terms["loss"].backward()
        torch.testing.assert_close(theirs.grad, ours.grad)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"margin": 1.0}, "margin"),
        ({"koleo_weight": -0.1}, "koleo_weight of at least 0"),
        ({"koleo_weight": math.inf}, "finite koleo_weight"),
        ({"memory_weight": math.nan}, "finite memory_weight"),
        ({"memory_size": -1}, "memory_size of at least 0"),
        ({"memory_size": 5}, "embedding_dim with a memory of 5"),
        ({"koleo_neighbors": "any"}, "neighbors to be one of"),
        ({"memory_start_step": -1}, "memory_start_step of at least 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RetrievalLoss(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("training", [True, False])
def test_wrong_dimension_and_large_batch_are_refused(training: bool, make_batch: MakeBatch) -> None:
    loss = RetrievalLoss(memory_size=5, embedding_dim=4).train(training)
    with pytest.raises(ValueError, match="embedding_dim=8"):
        loss(*make_batch(3))
    if training:
        with pytest.raises(ValueError, match="at most 5 rows"):
            loss(*make_batch(6, dim=4))


def test_repr_shows_every_setting() -> None:
    text = repr(RetrievalLoss(memory_size=5, embedding_dim=4))
    for part in (
        "koleo_weight=0.7",
        "margin=0.5",
        "memory_size=5",
        "neighbors='all'",
        "memory_weight=1.0",
        "start_step=0",
    ):
        assert part in text
    assert isinstance(RetrievalLoss(memory_size=5, embedding_dim=4).memory, CrossBatchMemory)
    assert isinstance(RetrievalLoss().koleo, KoLeoLoss)
