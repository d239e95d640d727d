"""Post-processing steps against their own functions and a literal implementation of the rules."""

import numpy as np
import pytest
import torch

from hf_vitret import Diffusion, augment_database, expand_queries, nearest_neighbors, rerank_reciprocal
from hf_vitret.evaluation.revisited.metrics import revisited_query_metrics
from hf_vitret.evaluation.revisited.post_processing import post_processed_query_metrics
from tests.evaluation.revisited.oracle import metrics_of_queries

KS = (1, 5, 10)


@pytest.fixture(scope="module")
def case(make_truth):
    """Draw queries and a gallery with distractors; the positives are nearer to their query than other images."""
    truth = make_truth(10, 60, 10, seed=1)
    generator = torch.Generator().manual_seed(0)
    queries, gallery = torch.randn(10, 8, generator=generator), torch.randn(80, 8, generator=generator)
    for query in range(10):
        gallery[torch.from_numpy(np.concatenate([truth.easy[query], truth.hard[query]]))] += queries[query]
    normalize = torch.nn.functional.normalize
    return normalize(queries, dim=1), normalize(gallery, dim=1), truth


def graph_of(gallery: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.arange(len(gallery))
    return nearest_neighbors(gallery, gallery, k, query_ids=rows, gallery_ids=rows)


def assert_same(found, expected) -> None:
    assert list(found) == list(expected)
    for name, values in found.items():
        np.testing.assert_allclose(values.numpy(), np.array(expected[name]), rtol=0, atol=1e-12)


def test_other_vectors_are_scored_as_embeddings_are(case) -> None:
    queries, gallery, truth = case
    plain = revisited_query_metrics(queries, gallery, truth)
    expanded = expand_queries(queries, gallery, *nearest_neighbors(queries, gallery, 4))
    augmented = augment_database(gallery, *graph_of(gallery, 4))
    for method, expected in (
        ("query_expansion", revisited_query_metrics(expanded, gallery, truth)),
        ("database_augmentation", revisited_query_metrics(queries, augmented, truth)),
    ):
        found = post_processed_query_metrics(queries, gallery, truth, method, num_neighbors=4)
        assert_same(found, {name: values.numpy() for name, values in expected.items()})
        assert not torch.equal(found["medium_map"].nan_to_num(), plain["medium_map"].nan_to_num())


@pytest.mark.parametrize("length", [None, 20])
def test_reranked_lists_are_taken_as_they_stand(case, length: int | None) -> None:
    queries, gallery, truth = case
    lists = nearest_neighbors(queries, gallery, length or 80)
    ranking = rerank_reciprocal(queries, gallery, *lists, *graph_of(gallery, 5), k1=5, k2=5)[1]
    found = post_processed_query_metrics(queries, gallery, truth, "reciprocal", num_neighbors=5, list_length=length)
    assert_same(found, metrics_of_queries(ranking.tolist(), truth, KS))


def test_what_the_diffusion_does_not_reach_is_not_found(case) -> None:
    queries, gallery, truth = case
    scores, ranking = Diffusion(gallery, *graph_of(gallery, 2)).rank(
        queries, *nearest_neighbors(queries, gallery, 2), 80
    )
    reached = [row[own > 0].tolist() for row, own in zip(ranking, scores, strict=True)]
    assert min(map(len, reached)) < 80
    found = post_processed_query_metrics(queries, gallery, truth, "diffusion", num_neighbors=2)
    assert_same(found, metrics_of_queries(reached, truth, KS))


def test_what_is_not_known_is_refused(case) -> None:
    with pytest.raises(ValueError, match=r"method must be one of query_expansion, .* got 'luck'"):
        post_processed_query_metrics(*case, "luck")
    with pytest.raises(ValueError, match="num_neighbors must be at least 1; got 0"):
        post_processed_query_metrics(*case, "diffusion", num_neighbors=0)
