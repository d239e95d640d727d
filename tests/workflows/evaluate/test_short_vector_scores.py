"""Short vectors of a run: those of the sweep itself, on all images or on a sample of the same ones."""

import json
from dataclasses import asdict
from typing import Any

import pytest
import torch

from hf_vitret import RetrievalEvaluator, short_vectors
from hf_vitret.inference.embed import embed_images
from hf_vitret.training.distributed.sharded_evaluation import embed_shares
from hf_vitret.workflows.evaluate import short_vector_scores as module
from tests.training import runs

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset() -> Any:
    return runs.shapes_dataset()


@pytest.fixture(scope="module")
def model() -> Any:
    return runs.tiny_vit()


def scores(model: Any, dataset: Any, evaluator: RetrievalEvaluator) -> dict[str, Any] | None:
    return module.short_vector_scores(model, dataset["train"], embed_shares(model, evaluator, CPU))


def test_leave_one_out(model: Any, dataset: Any) -> None:
    evaluator = RetrievalEvaluator(dataset)
    train, test = (embed_images(model, dataset[name], progress=False) for name in ("train", "test"))
    expected = short_vectors(train, test, dataset["test"]["label"], dims=[16], reductions=["pca"], progress=False)
    found = scores(model, dataset, evaluator)
    assert json.dumps(found) == json.dumps(asdict(expected))
    assert len({score["recall_at_1"] for score in found["scores"]}) > 1


def test_a_gallery(model: Any, dataset: Any) -> None:
    query, gallery = (dataset["test"].select(range(start, 20, 2)) for start in (0, 1))
    train, *sides = (embed_images(model, part, progress=False) for part in (dataset["train"], query, gallery))
    labels = [query["label"], sides[1], gallery["label"]]
    expected = short_vectors(train, sides[0], *labels, dims=[16], reductions=["pca"], progress=False)
    found = scores(model, dataset, RetrievalEvaluator({"query": query, "gallery": gallery}))
    assert json.dumps(found) == json.dumps(asdict(expected))


def test_bounds(model: Any, dataset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more images a sample; of a sample the dimensions that it tells apart; of too many images nothing."""
    evaluator = RetrievalEvaluator(dataset)
    whole = scores(model, dataset, evaluator)
    monkeypatch.setattr(module, "MAX_PAIRS", 20 * 7)
    found = scores(model, dataset, evaluator)
    assert (found["num_queries"], found["num_gallery"], found["num_train"]) == (7, 20, 24)
    rows = torch.from_numpy(module._drawn(20, 7))
    assert len(rows.unique()) == 7
    train, test = (embed_images(model, dataset[name], progress=False) for name in ("train", "test"))
    labels, ids = torch.tensor(dataset["test"]["label"]), torch.arange(20)
    of_sample = short_vectors(
        *(train, test[rows], labels[rows], test, labels),
        **{"query_ids": rows, "gallery_ids": ids, "dims": [16], "reductions": ["pca"], "progress": False},
    )
    assert json.dumps(found) == json.dumps(asdict(of_sample))
    monkeypatch.setattr(module, "MAX_TRAIN", 17)
    assert scores(model, dataset, evaluator)["num_train"] == 17
    monkeypatch.setattr(module, "MAX_TRAIN", 16)  # PCA of 16 rows has 15 dimensions
    assert scores(model, dataset, evaluator) is None
    monkeypatch.setattr(module, "MAX_VALUES", 20 * 16 - 1)
    monkeypatch.setattr(module, "MAX_TRAIN", 24)
    assert scores(model, dataset, evaluator) is None
    assert whole is not None
