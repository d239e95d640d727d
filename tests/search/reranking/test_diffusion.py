"""Diffusion against the solution of the dense linear system in float64."""

import pytest
import torch
from torch.nn import functional as F

from hf_vitret import nearest_neighbors
from hf_vitret.search.reranking import affinity_graph
from hf_vitret.search.reranking import diffusion as module
from hf_vitret.search.reranking.diffusion import Diffusion


def clustered(num_clusters: int, size: int, dim: int = 16, noise: float = 0.2) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(num_clusters).repeat_interleave(size)
    centres = torch.randn(num_clusters, dim, generator=generator)
    return F.normalize(centres[labels] + noise * torch.randn(len(labels), dim, generator=generator), dim=1), labels


def graph(gallery: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.arange(len(gallery))
    return nearest_neighbors(gallery, gallery, k, query_ids=rows, gallery_ids=rows)


def dense_scores(
    queries: torch.Tensor, gallery: torch.Tensor, k: int, num_seeds: int, alpha: float, gamma: float
) -> torch.Tensor:
    """Solve `(I - alpha S) f = (1 - alpha) y` with a dense matrix."""
    queries, gallery = queries.double(), gallery.double()
    similarity = gallery @ gallery.T
    similarity.fill_diagonal_(-2)
    is_near = torch.zeros_like(similarity, dtype=torch.bool)
    is_near.scatter_(1, similarity.argsort(dim=1, descending=True)[:, :k], True)
    affinity = torch.where(is_near & is_near.T, similarity.clamp(min=0).pow(gamma), 0.0)
    scale = affinity.sum(dim=1)
    scale = torch.where(scale > 0, scale.rsqrt(), 0.0)
    system = torch.eye(len(gallery), dtype=torch.float64) - alpha * scale[:, None] * affinity * scale
    seeds = torch.zeros(len(queries), len(gallery), dtype=torch.float64)
    scores = queries @ gallery.T
    best = scores.argsort(dim=1, descending=True)[:, :num_seeds]
    seeds.scatter_(1, best, scores.gather(1, best).clamp(min=0).pow(gamma))
    return torch.linalg.solve(system, (1 - alpha) * seeds.T).T


@pytest.mark.parametrize(("alpha", "gamma"), [(0.0, 1.0), (0.5, 3.0), (0.9, 3.0), (0.99, 2.0)])
def test_equals_the_dense_solution(alpha: float, gamma: float) -> None:
    gallery, _ = clustered(6, 12)
    queries, _ = clustered(15, 5, noise=0.5)  # more queries than are solved at once
    diffusion = Diffusion(gallery, *graph(gallery, 8), alpha=alpha, gamma=gamma)
    scores, indices = diffusion.rank(queries, *nearest_neighbors(queries, gallery, 5), k=72, num_iterations=500)
    expected = dense_scores(queries, gallery, 8, 5, alpha, gamma)
    torch.testing.assert_close(scores, expected.gather(1, indices).float(), atol=1e-5, rtol=1e-3)
    assert (scores.diff(dim=1) <= 0).all()
    assert indices.sort(dim=1).values.tolist() == [list(range(72))] * 75


@pytest.mark.parametrize("size", [1, 500])
def test_results_do_not_depend_on_what_is_solved_at_once(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, _ = clustered(6, 12)
    queries, _ = clustered(15, 5, noise=0.5)
    own, lists = graph(gallery, 8), nearest_neighbors(queries, gallery, 5)
    whole = Diffusion(gallery, *own).rank(queries, *lists, k=72, num_iterations=8)
    monkeypatch.setattr(module, "_QUERIES", 7)
    monkeypatch.setattr(module, "_ENTRIES", size)
    monkeypatch.setattr(affinity_graph, "_COMPARISONS", size)
    monkeypatch.setattr(affinity_graph, "_ITEMS", 5)
    parts = Diffusion(gallery, *own).rank(queries, *lists, k=72, num_iterations=8)
    torch.testing.assert_close(*(scattered(*found, 72) for found in (parts, whole)), atol=1e-6, rtol=1e-5)


def scattered(scores: torch.Tensor, indices: torch.Tensor, num_gallery: int) -> torch.Tensor:
    return torch.zeros(len(scores), num_gallery).scatter_(1, indices, scores)


@pytest.mark.parametrize("num_iterations", [1, 3, 20])
def test_solving_for_what_is_reached_is_solving_for_all(num_iterations: int, monkeypatch: pytest.MonkeyPatch) -> None:
    angles = torch.linspace(0, 5, 120)  # a chain: each iteration reaches a few more items
    gallery = torch.stack([angles.cos(), angles.sin()], dim=1)
    lists = nearest_neighbors(gallery[:3], gallery, 2)
    diffusion = Diffusion(gallery, *graph(gallery, 4))
    reached = diffusion.rank(gallery[:3], *lists, k=120, num_iterations=num_iterations)
    assert int((reached[0] != 0).sum(dim=1).max()) < 120
    monkeypatch.setattr(affinity_graph.AffinityGraph, "reached", lambda self, *_: torch.arange(120))
    every = diffusion.rank(gallery[:3], *lists, k=120, num_iterations=num_iterations)
    torch.testing.assert_close(*(scattered(*found, 120) for found in (reached, every)), atol=1e-7, rtol=1e-5)


def test_a_pair_of_which_one_score_is_not_above_0_is_not_joined() -> None:
    scores, indices = torch.tensor([[0.9, 0.5], [0.8, 0.0], [0.4, -0.1]]), torch.tensor([[1, 2], [0, 2], [0, 1]])
    joined = affinity_graph.mutual_graph(scores, indices, 1.0)
    assert joined.offsets.tolist() == [0, 2, 3, 4]
    assert joined.columns.tolist() == [1, 2, 0, 0]
    scores[0, 1] = -0.1  # 2 still has 0 in its list, with 0.4
    joined = affinity_graph.mutual_graph(scores, indices, 1.0)
    assert joined.offsets.tolist() == [0, 1, 2, 2]
    torch.testing.assert_close(joined.weights, torch.tensor([0.85, 0.85]))


def test_a_query_without_neighbours_scores_nothing() -> None:
    gallery, _ = clustered(2, 4)
    diffusion = Diffusion(gallery, *graph(gallery, 3))
    empty = torch.full((2, 3), torch.nan), torch.full((2, 3), -1)
    scores, indices = diffusion.rank(gallery[:2], *empty, k=8)
    assert scores.tolist() == [[0.0] * 8] * 2
    assert indices.sort(dim=1).values.tolist() == [list(range(8))] * 2


def test_a_graph_without_edges_leaves_the_seeds() -> None:
    gallery = torch.eye(4)
    empty = torch.full((4, 2), -torch.inf), torch.full((4, 2), -1)
    scores, indices = Diffusion(gallery, *empty, alpha=0.5).rank(
        gallery[:1], torch.tensor([[1.0]]), torch.tensor([[2]]), k=1
    )
    assert (scores.tolist(), indices.tolist()) == ([[0.5]], [[2]])


def test_follows_a_chain_that_no_vector_shows() -> None:
    """On two parallel arcs, the far end of the query's arc is further away than the other arc."""
    angles = torch.linspace(0, 2.2, 40)
    arcs = torch.cat(
        [torch.stack([angles.cos(), angles.sin(), torch.full_like(angles, height)], dim=1) for height in (0.0, 0.35)]
    )
    gallery, labels = F.normalize(arcs, dim=1), torch.arange(2).repeat_interleave(40)
    query = gallery[:1]
    plain = nearest_neighbors(query, gallery, 40)[1][0]
    diffused = Diffusion(gallery, *graph(gallery, 4)).rank(query, *nearest_neighbors(query, gallery, 3), k=40)[1][0]
    assert (labels[plain] == 0).sum() < 35
    assert (labels[diffused] == 0).all()


def test_items_that_are_not_reached_score_zero() -> None:
    gallery = torch.tensor([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [0.0, 0.0, 1.0], [0.0, 0.6, 0.8]])
    scores, indices = Diffusion(gallery, *graph(gallery, 1)).rank(
        gallery[:1], torch.tensor([[1.0]]), torch.tensor([[0]]), k=6
    )
    assert indices[0, :2].tolist() == [0, 1]
    assert scores[0, 2:4].tolist() == [0, 0]
    assert indices[0, 4:].tolist() == [-1, -1]
    assert scores[0, 4:].tolist() == [-torch.inf, -torch.inf]


def test_bad_input_is_refused() -> None:
    gallery, _ = clustered(2, 4)
    lists = graph(gallery, 2)
    for changes, message in (({"alpha": 1.0}, "alpha must be at least 0 and below 1"), ({"gamma": 0.0}, "gamma must")):
        with pytest.raises(ValueError, match=message):
            Diffusion(gallery, *lists, **changes)
    with pytest.raises(ValueError, match="k must be at least 1; got 0"):
        Diffusion(gallery, *lists).rank(gallery, *lists, k=0)
    with pytest.raises(ValueError, match=r"one row for each query; got \(7, 2\)"):
        Diffusion(gallery, *(part[:7] for part in lists))
