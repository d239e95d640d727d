"""Post-processed searches against the lists of the search functions for all queries at once, scored by a loop."""

import math

import pytest
import torch
from torch.nn import functional as F

from hf_vitret import RetrievalEvaluator
from hf_vitret.evaluation import post_processing as module
from hf_vitret.evaluation.post_processing import POST_PROCESSINGS, PostProcessedSearch
from hf_vitret.search.neighbors import nearest_neighbors
from hf_vitret.search.reranking.diffusion import Diffusion
from hf_vitret.search.reranking.query_expansion import augment_database, expand_queries
from hf_vitret.search.reranking.reciprocal_reranking import rerank_reciprocal
from tests.training import runs

K = 5
SETS = pytest.mark.parametrize("has_gallery", [False, True])


@pytest.fixture
def make(tiny_vectors):
    """Return the function that makes an evaluator and the vectors of its queries and of its gallery."""

    def with_gallery(has_gallery: bool, **options):
        test = runs.shapes_dataset()["test"]
        if not has_gallery:
            return RetrievalEvaluator(test, ks=[1, 3], **options), tiny_vectors, None
        # Two images are in both sets.
        query, gallery = test.select(range(0, 20, 3)), test.select([*range(0, 20, 2), 3])
        evaluator = RetrievalEvaluator(query, gallery, ks=[1, 3], **options)
        return evaluator, tiny_vectors[0:20:3], tiny_vectors[[*range(0, 20, 2), 3]]

    return with_gallery


@pytest.fixture
def tiny_vectors() -> torch.Tensor:
    """Draw a vector for each of 20 images of 5 classes, around the centre of its class."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.tensor([example["label"] for example in runs.shapes_dataset()["test"]])
    centres = torch.randn(int(labels.max()) + 1, 6, generator=generator)[labels]
    return F.normalize(centres + 0.9 * torch.randn(20, 6, generator=generator), dim=1)


def ranked_lists(evaluator, method: str, queries: torch.Tensor, gallery: torch.Tensor) -> list[list[int]]:
    """Return the ranking of the gallery for each query, without the query's own image."""
    rows = torch.arange(len(gallery))
    graph = nearest_neighbors(gallery, gallery, K, query_ids=rows, gallery_ids=rows)
    names = [example["image_id"] for example in evaluator.query]
    searched = names if evaluator.gallery is None else [example["image_id"] for example in evaluator.gallery]
    ids = {"query_ids": names, "gallery_ids": searched}
    if method == "query_expansion":
        queries = expand_queries(queries, gallery, *nearest_neighbors(queries, gallery, K, **ids))
    if method == "database_augmentation":
        gallery = augment_database(gallery, *graph)
    depth = 5 if method == "reciprocal" else len(gallery)  # the maximum of K, the largest cut-off and the largest class
    if method == "diffusion":
        near = nearest_neighbors(queries, gallery, K, **ids)
        scores, found = Diffusion(gallery, *graph).rank(queries, *near, len(gallery))
        found = found.masked_fill(scores <= 0, -1)
    else:
        scores, found = nearest_neighbors(queries, gallery, depth, **ids)
        if method == "reciprocal":
            found = rerank_reciprocal(queries, gallery, scores, found, *graph, k1=K, k2=min(6, K))[1]
    return [[row for row in list_ if row >= 0 and searched[row] != name] for list_, name in zip(found.tolist(), names)]


@SETS
@pytest.mark.parametrize("method", POST_PROCESSINGS)
@pytest.mark.parametrize("step", [256, 3])
def test_each_query_is_scored_by_its_list(method: str, has_gallery: bool, step: int, make, monkeypatch) -> None:
    monkeypatch.setattr(module, "_QUERIES", step)
    metrics = ["recall_at_k", "map_at_r"]
    evaluator, queries, gallery = make(has_gallery, metrics=metrics)
    found = PostProcessedSearch(evaluator, method, K).query_metrics(queries, gallery)
    searched = evaluator.query if evaluator.gallery is None else evaluator.gallery
    lists = ranked_lists(evaluator, method, queries, queries if gallery is None else gallery)
    num_seen = 0
    for query, (example, rows) in enumerate(zip(evaluator.query, lists)):
        num_right = sum(
            other["label"] == example["label"] and other["image_id"] != example["image_id"] for other in searched
        )
        if not num_right:
            assert all(math.isnan(values[query]) for values in found.values())
            continue
        hits = [searched[row]["label"] == example["label"] for row in rows]
        precisions = [sum(hits[: rank + 1]) / (rank + 1) for rank, hit in enumerate(hits[:num_right]) if hit]
        assert found["recall_at_1"][query] == any(hits[:1])
        assert found["recall_at_3"][query] == any(hits[:3])
        assert found["map_at_r"][query] == pytest.approx(sum(precisions) / num_right)
        num_seen += 1
    assert num_seen > 4
    assert found["map_at_r"].dtype == torch.float64


@pytest.mark.parametrize("method", POST_PROCESSINGS)
def test_the_order_is_another_one(method: str, make) -> None:
    evaluator, queries, _ = make(False)
    plain = evaluator.query_metrics(queries)["map_at_r"]
    assert not plain.equal(PostProcessedSearch(evaluator, method, K).query_metrics(queries)["map_at_r"])


def test_the_protocol_names_the_step(make, tiny_model) -> None:
    evaluator, *_ = make(False)
    plain = evaluator.protocol(tiny_model)
    expanded = PostProcessedSearch(evaluator, "query_expansion").protocol(tiny_model)
    assert expanded == plain | {"post_processing": "query_expansion", "num_neighbors": 50, "alpha": 3.0}
    reranked = PostProcessedSearch(evaluator, "reciprocal", 5).protocol(tiny_model)
    step = {"post_processing": "reciprocal", "num_neighbors": 5, "k2": 5, "weight": 0.3}
    assert reranked == plain | step | {"list_length": 5, "ties": "as the lists have them"}


def test_bad_settings(make) -> None:
    evaluator, *_ = make(False, ties="expected")
    PostProcessedSearch(evaluator, "query_expansion")
    with pytest.raises(ValueError, match=r"^ties must be pessimistic for diffusion"):
        PostProcessedSearch(evaluator, "diffusion")
    with pytest.raises(ValueError, match=r"^method must be one of query_expansion, .*; got 'magic'"):
        PostProcessedSearch(evaluator, "magic")
    with pytest.raises(ValueError, match=r"^num_neighbors must be at least 1; got 0"):
        PostProcessedSearch(evaluator, "query_expansion", 0)
