"""The metrics loaded as a user does it, with `evaluate.load` from their folders, offline and with an empty cache."""

import doctest
import inspect
import math
import sys

import evaluate
import numpy as np
import pytest
import torch

from hf_vitret import retrieval_metrics
from hf_vitret.evaluation import modules
from hf_vitret.evaluation.modules import MODULES, evaluate_module, rows

EMBEDDINGS = torch.nn.functional.normalize(torch.randn(90, 8, generator=torch.Generator().manual_seed(0)), dim=1)
LABELS = torch.arange(90) % 25


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return the function that loads a metric by its folder, with a cache in a temporary folder."""
    folder = str(tmp_path / "modules")
    for module in (evaluate.config, evaluate.loading.config):
        monkeypatch.setattr(module, "HF_MODULES_CACHE", folder)
        monkeypatch.setattr(module, "HF_METRICS_CACHE", str(tmp_path / "metrics"))
        monkeypatch.setattr(module, "HF_EVALUATE_OFFLINE", True)
    monkeypatch.setattr(sys, "path", [*sys.path])  # `evaluate` adds its cache
    for name in [name for name in sys.modules if name.split(".")[0] == "evaluate_modules"]:
        monkeypatch.delitem(sys.modules, name)

    def load_module(name):
        module = evaluate.load(evaluate_module(name))
        assert inspect.getfile(type(module)).startswith(folder)
        return module

    yield load_module
    for name in [name for name in sys.modules if name.split(".")[0] == "evaluate_modules"]:
        del sys.modules[name]  # the next test has another cache


@pytest.mark.parametrize("labels", [LABELS, [f"class {label}" for label in LABELS.tolist()]], ids=["int", "str"])
@pytest.mark.parametrize("kind", ["tensor", "array", "lists", "pieces"])
def test_recall_is_that_of_the_package(kind, labels, load):
    module = load("recall_at_k")
    form = {"array": EMBEDDINGS.numpy(), "lists": EMBEDDINGS.tolist()}.get(kind, EMBEDDINGS)
    if kind == "pieces":
        for start in (0, 40, 80):
            module.add_batch(embeddings=form[start : start + 40], labels=labels[start : start + 40])
        received = module.compute(ks=[1, 10])
    else:
        received = module.compute(embeddings=form, labels=labels, ks=[1, 10])
    assert received == retrieval_metrics(EMBEDDINGS, LABELS, ks=[1, 10], metrics=["recall_at_k"])


def test_map_at_r_is_that_of_the_package(load):
    received = load("mean_average_precision_at_r").compute(embeddings=EMBEDDINGS.numpy(), labels=LABELS)
    expected = retrieval_metrics(EMBEDDINGS, LABELS, metrics=["map_at_r"])
    assert 0 < received["mean_average_precision_at_r"] == expected["map_at_r"] < 1
    assert received["num_queries"] == 90


@pytest.mark.parametrize("as_rows", [torch.Tensor.numpy, torch.Tensor.tolist, torch.clone])
def test_a_gallery_with_ids_and_the_rule_for_ties(as_rows, load):
    labels = [f"class {label}" for label in LABELS.tolist()]
    options = {"query_ids": list(range(50)), "gallery_ids": list(range(30, 90)), "ties": "expected"}
    received = load("recall_at_k").compute(
        embeddings=EMBEDDINGS[:50].numpy(),
        labels=labels[:50],
        gallery_embeddings=as_rows(EMBEDDINGS[30:]),
        gallery_labels=labels[30:],
        ks=[3],
        **options,
    )
    expected = retrieval_metrics(
        EMBEDDINGS[:50], labels[:50], EMBEDDINGS[30:], labels[30:], ks=[3], metrics=["recall_at_k"], **options
    )
    assert received == expected
    assert 0 < received["recall_at_3"] < 1


@pytest.mark.parametrize("name", MODULES)
def test_a_module_can_be_used_again_and_is_documented(name, load):
    module = load(name)
    first, second = (module.compute(embeddings=EMBEDDINGS.numpy(), labels=LABELS.numpy()) for _ in range(2))
    assert first == second
    assert module.compute(embeddings=[[1.0], [0.5]], labels=[1, 2])["num_queries_without_positive"] == 2
    assert len(module.citation) > 100
    assert "leave-one-out" in module.description
    assert "gallery_embeddings" in module.inputs_description
    assert "Returns:" in type(module).__doc__


def test_rows_come_back_as_one_array_not_as_python_floats(load, monkeypatch):
    seen = []
    matrix = rows._matrix
    monkeypatch.setattr(rows, "_matrix", lambda each, name: seen.append(each) or matrix(each, name))
    load("recall_at_k").compute(embeddings=EMBEDDINGS.tolist(), labels=LABELS)
    assert [(type(each), each.dtype, each.shape) for each in seen] == [(np.ndarray, np.float32, (90, 8))]


def test_large_labels_stay_exact(load):
    first = 2**60
    labels = np.array([first, first + 1, first, first + 1])
    received = load("recall_at_k").compute(embeddings=np.eye(4, 2, dtype=np.float32), labels=labels, ks=[4])
    assert received == {"recall_at_4": 1.0, "num_queries": 4, "num_queries_without_positive": 0}


def test_vectors_of_several_lengths_are_refused(load):
    module = load("recall_at_k")
    with pytest.raises(ValueError, match=r"embeddings must all have one length, got \[1, 2\]"):
        module.compute(embeddings=[[1.0], [1.0, 2.0]], labels=[1, 1])
    with pytest.raises(ValueError, match="infinity in row 1"):
        module.compute(embeddings=[[1.0], [math.nan]], labels=[1, 1])
    with pytest.raises(ValueError, match="Mismatch in the number of embeddings"):
        module.compute(embeddings=[[1.0], [1.0]], labels=[1])


def test_an_unknown_module_is_named():
    with pytest.raises(ValueError, match="one of mean_average_precision_at_r, recall_at_k; got 'mrr'"):
        evaluate_module("mrr")


def test_examples(load):
    result = doctest.testmod(modules)
    assert (result.attempted, result.failed) == (1, 0)
    for name in MODULES:
        example = doctest.DocTestParser().get_doctest(load(name).inputs_description, {}, name, None, None)
        assert len(example.examples) >= 5
        assert doctest.DocTestRunner().run(example).failed == 0
