"""The contract of `PairLoss`, clause by clause, for every subclass in `hf_vitret.losses`.

The losses are found, not listed: a new one is checked as soon as its module exists. A failure quotes the clause that
the loss breaks, as it stands in the docstring of `PairLoss`.
"""

from __future__ import annotations

import ast
import functools
import inspect
import math
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hf_vitret.losses
from hf_vitret.losses import PAIR_LOSSES, ContrastiveLoss, KoLeoLoss, PairLoss, RetrievalLoss, SupConLoss
from tests.losses.building import build

MakeBatch = Callable[..., tuple[Tensor, Tensor]]

CLASSES, DIM = 3, 8
# Settings of a run, by the constructor's parameter: one class more than the labels of a batch, for an image without a
# positive; tuples of three rows, because the sizes of the batches below are multiples of three.
SETTINGS = {"num_classes": CLASSES + 1, "embedding_dim": DIM, "num_negatives": 1}


def pair_losses() -> dict[str, type[PairLoss]]:
    """Find the subclasses of PairLoss in all modules of hf_vitret.losses, by name."""
    modules = [import_module(f"hf_vitret.losses.{module.name}") for module in iter_modules(hf_vitret.losses.__path__)]
    values = [value for module in modules for value in vars(module).values() if inspect.isclass(value)]
    found = {value.__name__: value for value in values if issubclass(value, PairLoss) and not inspect.isabstract(value)}
    return dict(sorted(found.items()))


KINDS = pair_losses()
BUILDERS: dict[str, Callable[[], PairLoss]] = {
    **{name: functools.partial(build, kind, **SETTINGS) for name, kind in KINDS.items()},
    # Settings that take another path through the code of a loss.
    "SupConLoss, negatives": lambda: SupConLoss(denominator="negatives"),
    "KoLeoLoss, negatives": lambda: KoLeoLoss("negatives"),
}
COMPARING = [name for name, builder in BUILDERS.items() if builder().uses_references]

only_comparing = pytest.mark.parametrize("loss", COMPARING, indirect=True)
only_others = pytest.mark.parametrize("loss", sorted(BUILDERS.keys() - set(COMPARING)), indirect=True)

TESTED: list[str] = []


def clause(text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Mark the test of a clause: whatever fails in it is reported as a breach of this clause."""
    TESTED.append(text)

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def checked(**fixtures: Any) -> None:
            try:
                test(**fixtures)
            except Exception as error:
                subject = fixtures.get("loss", fixtures.get("kind"))
                name = subject.__name__ if inspect.isclass(subject) else type(subject).__name__
                raise AssertionError(f"{name} breaks a clause of PairLoss: {text}\nFound: {error}") from error

        return checked

    return decorate


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> type[PairLoss]:
    return KINDS[request.param]


@pytest.fixture(params=BUILDERS)
def loss(request: pytest.FixtureRequest) -> PairLoss:
    return BUILDERS[request.param]()


def test_every_clause_is_tested_in_the_words_of_the_docstring() -> None:
    body = inspect.getdoc(PairLoss).split("Clauses", 1)[1].split("To add a loss:")[0]
    clauses = [" ".join(part.split()) for part in body.split("\n- ")[1:]]
    assert sorted(clauses) == sorted(TESTED)


def test_choices_of_a_run_are_the_selectable_losses_and_the_papers_is_the_first() -> None:
    assert {loss.term: loss for loss in KINDS.values() if loss.selectable} == PAIR_LOSSES
    assert next(iter(PAIR_LOSSES.values())) is ContrastiveLoss


@clause("Only ``_loss`` computes: the subclass keeps the ``forward`` of ``PairLoss``.")
def test_forward_is_that_of_the_base_class(kind: type[PairLoss]) -> None:
    assert kind.forward is PairLoss.forward


@clause("``hf_vitret.losses`` exports the class: ``__init__.py`` imports it and lists it in ``__all__``.")
def test_class_is_exported(kind: type[PairLoss]) -> None:
    assert kind.__name__ in hf_vitret.losses.__all__
    assert getattr(hf_vitret.losses, kind.__name__) is kind


@clause(
    "A selectable loss has a ``term`` of its own: an identifier that no other selectable loss has, and none of "
    '"loss", "memory", "koleo" and "pair".'
)
def test_term_is_its_own(kind: type[PairLoss]) -> None:
    if kind.selectable:
        assert kind.term.isidentifier()
        assert kind.term not in {"loss", "memory", "koleo", "pair"}
        assert [other for other in KINDS.values() if other.selectable and other.term == kind.term] == [kind]


@clause("A loss with ``memory_by_default`` compares with references: ``uses_references`` is true.")
def test_memory_is_for_losses_that_use_it(kind: type[PairLoss]) -> None:
    assert kind.uses_references or not kind.memory_by_default


@clause(
    "Each argument of the constructor has a default, except ``num_classes`` and ``embedding_dim``, which a run sets."
)
def test_arguments_have_defaults(kind: type[PairLoss]) -> None:
    for name, parameter in inspect.signature(kind).parameters.items():
        is_variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)  # those of nn.Module
        is_set_by_a_run = name in {"num_classes", "embedding_dim"}
        assert is_variable or is_set_by_a_run or parameter.default is not parameter.empty, name


@clause(
    "The module imports nothing but the standard library, numpy, torch and its neighbours in this package, and no "
    "``torch.distributed``: a loss knows no model and no process group."
)
def test_module_imports_nothing_else(kind: type[PairLoss]) -> None:
    source = Path(inspect.getfile(kind)).read_text(encoding="utf-8")
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= 1, f"an import from outside the package, line {node.lineno}"
            names += [node.module or ""] if node.level == 0 else []
    assert {name.partition(".")[0] for name in names} <= {*sys.stdlib_module_names, "numpy", "torch"}
    assert "torch.distributed" not in source


@clause(
    "The value is a float32 scalar, computed in float32 with autocast off, whatever the dtype of the embeddings. The "
    "gradient of each argument has the dtype of that argument."
)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_computes_in_float32(dtype: torch.dtype, loss: PairLoss, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(12)
    refs, ref_labels = make_batch(15, seed=2)
    low, low_refs = embeddings.to(dtype).requires_grad_(), refs.to(dtype).requires_grad_()
    plain = low.detach().float().requires_grad_()
    expected = loss(plain, labels, low_refs.detach().float(), ref_labels)
    expected.backward()
    loss.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(low, labels, low_refs, ref_labels)
    value.backward()
    assert (value.dtype, value.shape) == (torch.float32, ())
    assert value.item() == expected.item()
    assert low.grad.dtype == dtype
    assert torch.equal(low.grad, plain.grad.to(dtype))
    assert not loss.uses_references or low_refs.grad.dtype == dtype


@clause(
    "The mean over the processes is the loss of the whole batch, in value and in gradient. So a sum of terms is "
    "divided by the number of anchors, those without a positive included, and not by the number of pairs or of "
    "positives."
)
@pytest.mark.parametrize("shards", [1, 2, 4])
def test_mean_over_processes_is_the_loss_of_the_whole(shards: int, loss: PairLoss, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(12)
    labels[5] = CLASSES  # no other image has this label
    whole = embeddings.clone().requires_grad_()
    expected = loss(whole, labels)
    expected.backward()
    expected_grads = [parameter.grad.clone() for parameter in loss.parameters()]
    loss.zero_grad()

    parts = embeddings.clone().requires_grad_()
    total = torch.zeros(())
    for rows in torch.arange(12).chunk(shards):
        total = total + loss(parts[rows], labels[rows], parts, labels, self_index=rows) / shards
    total.backward()
    torch.testing.assert_close(total, expected, rtol=1e-6, atol=0.0)
    torch.testing.assert_close(parts.grad, whole.grad, rtol=1e-5, atol=1e-6)
    for parameter, expected_grad in zip(loss.parameters(), expected_grads):
        torch.testing.assert_close(parameter.grad, expected_grad, rtol=1e-5, atol=1e-6)


@clause("Where ``uses_references`` is true, the loss has a gradient by the references as well as by the anchors.")
@only_comparing
def test_gradient_of_anchors_and_references(loss: PairLoss, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(6)
    refs, ref_labels = make_batch(9, seed=4)
    both, alone = (embeddings.clone().requires_grad_() for _ in range(2))
    loss(both, labels, refs.clone().requires_grad_(), ref_labels).backward()
    loss(alone, labels, refs, ref_labels).backward()
    assert both.grad.abs().sum() > 0, "no gradient by the anchors"
    assert torch.equal(both.grad, alone.grad), "the gradient by the anchors depends on that by the references"
    rows = refs.clone().requires_grad_()
    loss(embeddings, labels, rows, ref_labels).backward()
    assert rows.grad.abs().sum() > 0, "no gradient by the references"
    assert embeddings.grad is None


@clause("Where ``uses_references`` is false, the embeddings and labels of the references change nothing.")
@only_others
def test_references_without_a_use_change_nothing(loss: PairLoss, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(12)
    expected = loss(embeddings, labels, embeddings, labels, self_index=torch.arange(12))
    refs, ref_labels = make_batch(12, seed=2)
    assert torch.equal(loss(embeddings, labels, refs, ref_labels + 100), expected)
    assert torch.equal(loss(embeddings, labels), expected)


@clause("An anchor is not compared with its own row, which ``self_index`` names.")
@only_comparing
@pytest.mark.parametrize("own_label", [0, 1])
def test_own_row_is_left_out(own_label: int, loss: PairLoss, make_batch: MakeBatch) -> None:
    anchor, label = make_batch(1)[0], torch.tensor([0])
    refs, ref_labels = make_batch(11, seed=5)
    expected = loss(anchor, label, refs, ref_labels)
    for own in (anchor[0], -anchor[0], torch.full((DIM,), 1e6)):
        rows = torch.cat([refs[:8], own[None], refs[8:]]).requires_grad_()
        row_labels = torch.cat([ref_labels[:8], torch.tensor([own_label]), ref_labels[8:]])
        value = loss(anchor, label, rows, row_labels, self_index=torch.tensor([8]))
        value.backward()
        torch.testing.assert_close(value, expected)
        assert torch.equal(rows.grad[8], torch.zeros(DIM)), "a gradient by the anchor's own row"


@clause("The order of the references changes nothing.")
@only_comparing
def test_order_of_references_changes_nothing(loss: PairLoss, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(9)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    value = loss(embeddings, labels, embeddings[order], labels[order], self_index=order.argsort())
    torch.testing.assert_close(value, loss(embeddings, labels))


@clause(
    "Where nothing is left to compare an anchor with, the value and the gradient are 0, and the value can be "
    "differentiated."
)
@only_comparing
@pytest.mark.parametrize("refs", ["none at all", "itself alone"])
def test_nothing_to_compare_with_is_zero_and_connected(refs: str, loss: PairLoss, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(1 if refs == "itself alone" else 6)
    embeddings.requires_grad_()
    nothing = (torch.empty(0, DIM), torch.empty(0, dtype=torch.int64))
    value = loss(embeddings, labels) if refs == "itself alone" else loss(embeddings, labels, *nothing)
    value.backward()
    assert value.item() == 0.0
    assert torch.equal(embeddings.grad, torch.zeros_like(embeddings))


@clause("Identical images, with equal labels or different ones, have a finite value and a finite gradient.")
@pytest.mark.parametrize("labels", [[0, 0, 0, 0, 0, 0], [0, 1, 2, 0, 1, 2], [0, 1, 2, 2, 2, 2]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_identical_images_are_finite(dtype: torch.dtype, labels: list[int], loss: PairLoss) -> None:
    embeddings = nn.functional.normalize(torch.ones(6, DIM), dim=1).to(dtype).requires_grad_()
    value = loss(embeddings, torch.tensor(labels))
    value.backward()
    assert value.isfinite()
    assert embeddings.grad.isfinite().all()


@clause("An embedding that is not a number makes the value not a number, so that the trainer notices.")
def test_not_a_number_comes_through(loss: PairLoss, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(9)
    embeddings[3, 1] = math.nan
    assert loss(embeddings, labels).isnan()


@clause("The value under ``torch.no_grad`` is the value with a gradient.")
def test_value_without_gradient_is_the_same(loss: PairLoss, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(9)
    embeddings.requires_grad_()
    expected = loss(embeddings, labels)
    with torch.no_grad():
        value = loss(embeddings, labels)
    assert not value.requires_grad
    assert value.item() == expected.item()


@clause(
    "References that are overwritten between forward and backward, as a memory overwrites them, never give a wrong "
    "gradient: it stays the same, or torch raises an error."
)
@only_comparing
def test_overwritten_references_give_no_wrong_gradient(loss: PairLoss, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(6)
    refs, ref_labels = make_batch(9, seed=4)
    first, second = (embeddings.clone().requires_grad_() for _ in range(2))
    loss(first, labels, refs, ref_labels).backward()
    value = loss(second, labels, refs, ref_labels)
    refs.zero_()
    try:
        value.backward()
    except RuntimeError as error:
        if "modified by an inplace operation" in str(error):
            return
        raise
    assert torch.equal(first.grad, second.grad)


@clause(
    "``RetrievalLoss`` takes the loss and reports its value under ``term``, beside ``memory`` where "
    "``uses_references`` is true."
)
@pytest.mark.parametrize("loss", [name for name in BUILDERS if "KoLeoLoss" not in name], indirect=True)  # added anyway
def test_objective_takes_it(loss: PairLoss, make_batch: MakeBatch) -> None:
    embeddings, labels = make_batch(6)
    memory_size = 12 if loss.uses_references else 0
    objective = RetrievalLoss(memory_size=memory_size, embedding_dim=DIM, pair_loss=loss)
    terms = objective(embeddings, labels)
    assert list(terms) == ["loss", loss.term, *(["memory"] if loss.uses_references else []), "koleo"]
    assert torch.equal(terms[loss.term], loss(embeddings, labels).detach())
