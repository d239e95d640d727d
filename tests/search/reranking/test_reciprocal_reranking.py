"""Re-ranking by reciprocal neighbours against a plain implementation with Python sets and dictionaries."""

import math

import pytest
import torch
from torch.nn import functional as F

from hf_vitret import nearest_neighbors
from hf_vitret.search.neighbor_lists import without_self
from hf_vitret.search.reranking import reciprocal_reranking, reciprocal_sets
from hf_vitret.search.reranking.reciprocal_reranking import rerank_reciprocal
from hf_vitret.search.reranking.reciprocal_sets import ReciprocalSets


def clustered(num_clusters: int, size: int, noise: float, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    centres = torch.randn(num_clusters, 12, generator=torch.Generator().manual_seed(99))
    labels = torch.arange(num_clusters).repeat_interleave(size)
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(centres[labels] + noise * torch.randn(len(labels), 12, generator=generator), dim=1), labels


def graph(gallery: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.arange(len(gallery))
    return nearest_neighbors(gallery, gallery, k, query_ids=rows, gallery_ids=rows)


class Naive:
    """The definitions of the paper, one item after another."""

    def __init__(self, gallery: torch.Tensor, k1: int, k2: int) -> None:
        self.gallery, self.k1, self.k2 = gallery.double(), k1, k2
        similarity = self.gallery @ self.gallery.T
        self.lists = [
            sorted((other for other in range(len(gallery)) if other != item), key=lambda other: -scores[other])
            for item, scores in enumerate(similarity.tolist())
        ]
        self.similarity = similarity

    def reciprocal(self, item: int, k: int) -> set[int]:
        return {item} | {other for other in self.lists[item][:k] if item in self.lists[other][:k]}

    def reciprocal_of_query(self, scores: list[float], ranked: list[int]) -> set[int]:
        return {
            item for item in ranked[: self.k1] if scores[item] >= self.similarity[item, self.lists[item][self.k1 - 1]]
        }

    def expanded(self, members: set[int]) -> set[int]:
        half = max(1, round(self.k1 / 2))
        found = set(members)
        for member in members:
            added = self.reciprocal(member, half)
            if len(added & members) >= 2 / 3 * len(added) - 1e-9:
                found |= added
        return found

    @staticmethod
    def weighted(members: set[int], scores: list[float]) -> dict[int, float]:
        weights = {item: math.exp(-(2 - 2 * scores[item])) for item in members}
        total = sum(weights.values())
        return {item: value / total for item, value in weights.items()}

    def of_item(self, item: int) -> dict[int, float]:
        members = self.expanded(self.reciprocal(item, self.k1))
        return self.weighted(members, self.similarity[item].tolist())

    @staticmethod
    def mean(vectors: list[dict[int, float]]) -> dict[int, float]:
        keys = {key for vector in vectors for key in vector}
        return {key: sum(vector.get(key, 0) for vector in vectors) / len(vectors) for key in keys}

    def rerank(self, query: torch.Tensor, k: int, weight: float) -> dict[int, float]:
        scores = (self.gallery @ query.double()).tolist()
        ranked = sorted(range(len(scores)), key=lambda item: -scores[item])
        own = self.weighted(self.expanded(self.reciprocal_of_query(scores, ranked)), scores)
        query_vector = self.mean([own] + [self.of_item(item) for item in ranked[: self.k2 - 1]])
        result = {}
        for item in ranked[:k]:
            vector = self.mean([self.of_item(other) for other in [item, *self.lists[item][: self.k2 - 1]]])
            keys = {*query_vector, *vector}
            common = sum(min(query_vector.get(key, 0), vector.get(key, 0)) for key in keys)
            together = sum(max(query_vector.get(key, 0), vector.get(key, 0)) for key in keys)
            result[item] = (1 - weight) * (1 - common / together) + weight * (2 - 2 * scores[item])
        return result


@pytest.mark.parametrize(("k1", "k2", "weight"), [(5, 3, 0.3), (6, 1, 0.0), (9, 6, 0.5), (1, 1, 0.3), (4, 2, 1.0)])
def test_equals_the_definitions(k1: int, k2: int, weight: float) -> None:
    gallery, _ = clustered(6, 7, 0.6)
    queries, _ = clustered(6, 2, 0.9, seed=1)
    naive = Naive(gallery, k1, k2)
    lists = nearest_neighbors(queries, gallery, 20)
    scores, indices = rerank_reciprocal(queries, gallery, *lists, *graph(gallery, 10), k1=k1, k2=k2, weight=weight)
    assert (scores.diff(dim=1) <= 0).all()
    for query, own_scores, own_indices in zip(queries, scores, indices):
        expected = naive.rerank(query, 20, weight)
        assert set(own_indices.tolist()) == set(expected)
        distances = torch.tensor([expected[item] for item in own_indices.tolist()])
        torch.testing.assert_close(1 - own_scores, distances, atol=1e-5, rtol=0)


def test_finds_more_of_the_class() -> None:
    gallery, labels = clustered(12, 15, 0.7)
    queries, query_labels = clustered(12, 3, 0.9, seed=1)

    def hits(indices: torch.Tensor) -> int:
        return int((labels[indices[:, :15]] == query_labels.unsqueeze(1)).sum())

    lists = nearest_neighbors(queries, gallery, 60)
    reranked = rerank_reciprocal(queries, gallery, *lists, *graph(gallery, 20), k1=12, k2=4)
    assert hits(reranked[1]) > hits(lists[1])


def test_padding_stays_at_the_end() -> None:
    gallery, _ = clustered(3, 4, 0.3)
    lists = nearest_neighbors(gallery[:2], gallery, 15)
    scores, indices = rerank_reciprocal(gallery[:2], gallery, *lists, *graph(gallery, 4), k1=3, k2=2)
    assert (indices[:, 12:] == -1).all()
    assert (scores[:, 12:] == -torch.inf).all()
    assert indices[:, :12].sort(dim=1).values.tolist() == [list(range(12))] * 2


def test_sets_of_many_items_are_those_of_each() -> None:
    gallery, _ = clustered(60, 10, 0.5)  # more rows than are computed at once
    naive, sets = Naive(gallery, 6, 1), ReciprocalSets(gallery, *graph(gallery, 6), 6)
    found = sets.of_items(torch.arange(600))
    for item in range(0, 600, 37):
        vector = {
            key: value for key, value in zip(found.items[item].tolist(), found.weights[item].tolist()) if key >= 0
        }
        assert vector == pytest.approx(naive.of_item(item), abs=1e-5)


@pytest.mark.parametrize("size", [1, 4_000])
def test_results_do_not_depend_on_what_is_computed_at_once(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, _ = clustered(12, 15, 0.7)
    queries, _ = clustered(12, 3, 0.9, seed=1)
    lists = *nearest_neighbors(queries, gallery, 40), *graph(gallery, 20)
    whole = rerank_reciprocal(queries, gallery, *lists, k1=12, k2=4)
    monkeypatch.setattr(reciprocal_reranking, "_HELD", size)
    monkeypatch.setattr(reciprocal_reranking, "_AVERAGED", size)
    monkeypatch.setattr(reciprocal_sets, "_COMPARISONS", size)
    parts = rerank_reciprocal(queries, gallery, *lists, k1=12, k2=4)
    assert torch.equal(parts[0], whole[0])
    assert torch.equal(parts[1], whole[1])


def test_scores_of_missing_neighbours_are_not_read() -> None:
    gallery, _ = clustered(3, 4, 0.3)
    lists, own = nearest_neighbors(gallery[:2], gallery, 15), graph(gallery, 4)
    short = own[0].clone(), own[1].clone()
    short[0][::2, 2:], short[1][::2, 2:] = -torch.inf, -1
    expected = rerank_reciprocal(gallery[:2], gallery, *lists, *short, k1=3, k2=2)
    for filler in (-3.4e38, 0.999, torch.nan):  # faiss pads with the first
        filled = [scores.masked_fill(indices < 0, filler) for scores, indices in (lists, short)]
        found = rerank_reciprocal(gallery[:2], gallery, filled[0], lists[1], filled[1], short[1], k1=3, k2=2)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], expected[1])


def test_takes_the_lists_of_faiss() -> None:
    faiss = pytest.importorskip("faiss")
    gallery, _ = clustered(12, 15, 0.7)
    queries, _ = clustered(12, 3, 0.9, seed=1)
    index = faiss.IndexFlatIP(12)
    index.add(gallery.numpy())
    lists = [torch.from_numpy(part) for part in index.search(queries.numpy(), 200)]  # more than the gallery has
    own = [torch.from_numpy(part) for part in index.search(gallery.numpy(), 21)]
    found = rerank_reciprocal(queries, gallery, *lists, *without_self(*own), k1=12, k2=4)
    ours = *nearest_neighbors(queries, gallery, 200), *graph(gallery, 20)
    expected = rerank_reciprocal(queries, gallery, *ours, k1=12, k2=4)
    torch.testing.assert_close(found[0], expected[0], atol=1e-5, rtol=0)
    assert torch.equal(found[1], expected[1])


def test_bad_input_is_refused() -> None:
    gallery, _ = clustered(2, 5, 0.3)
    lists = nearest_neighbors(gallery, gallery, 4)
    with pytest.raises(
        ValueError, match=r"lists of at least k1 = 20 neighbours; got 4: search for more neighbours, or lower k1"
    ):
        rerank_reciprocal(gallery, gallery, *lists, *graph(gallery, 8))
    with pytest.raises(ValueError, match="row 0 lists itself: search with query_ids and gallery_ids, or remove"):
        rerank_reciprocal(gallery, gallery, *lists, *lists, k1=3, k2=2)
    with pytest.raises(ValueError, match=r"expected graph_scores and graph_indices of shape \(10, k\)"):
        rerank_reciprocal(gallery, gallery, *lists, *(part[:9] for part in graph(gallery, 8)), k1=3, k2=2)
    with pytest.raises(ValueError, match=r"k2 from 1 to k1 and weight from 0 to 1; got 3, 4 and 0\.3"):
        rerank_reciprocal(gallery, gallery, *lists, *graph(gallery, 8), k1=3, k2=4)
