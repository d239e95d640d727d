"""Query expansion and database augmentation against a loop over queries and their neighbours."""

import pytest
import torch
from torch.nn import functional as F

from hf_vitret import nearest_neighbors
from hf_vitret.search.reranking import query_expansion
from hf_vitret.search.reranking.query_expansion import augment_database, expand_queries


def unit(rows: int, dim: int, seed: int) -> torch.Tensor:
    return F.normalize(torch.randn(rows, dim, generator=torch.Generator().manual_seed(seed)), dim=1)


def naive(queries: torch.Tensor, gallery: torch.Tensor, k: int, alpha: float, skip_self: bool = False) -> torch.Tensor:
    """Expand one query after another in float64, from the sorted list of all gallery items."""
    rows = []
    for number, query in enumerate(queries.double()):
        scored = sorted(((float(query @ item), row) for row, item in enumerate(gallery.double())), reverse=True)
        total = query.clone()
        for score, row in [pair for pair in scored if not (skip_self and pair[1] == number)][:k]:
            if score > 0:
                total += score**alpha * gallery[row].double()
        rows.append(total / total.norm())
    return torch.stack(rows).float()


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("k", [1, 5, 40])
def test_equals_the_loop(k: int, alpha: float) -> None:
    queries, gallery = unit(300, 6, 0), unit(30, 6, 1)  # k beyond the gallery
    scores, indices = nearest_neighbors(queries, gallery, k)
    expanded = expand_queries(queries, gallery, scores, indices, alpha=alpha)
    torch.testing.assert_close(expanded, naive(queries, gallery, k, alpha), atol=1e-5, rtol=0)


@pytest.mark.parametrize("alpha", [0.0, 3.0])
def test_augmentation_is_expansion_of_each_item_by_the_others(alpha: float) -> None:
    gallery, rows = unit(40, 5, 2), torch.arange(40)
    scores, indices = nearest_neighbors(gallery, gallery, 4, query_ids=rows, gallery_ids=rows)
    augmented = augment_database(gallery, scores, indices, alpha=alpha)
    torch.testing.assert_close(augmented, naive(gallery, gallery, 4, alpha, skip_self=True), atol=1e-5, rtol=0)


@pytest.mark.parametrize("gathered", [1, 7 * 5 * 6])  # one query at once, and seven
def test_results_do_not_depend_on_how_many_are_expanded_at_once(gathered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, gallery = unit(30, 6, 0), unit(30, 6, 1)
    lists = nearest_neighbors(queries, gallery, 5)
    whole = expand_queries(queries, gallery, *lists)
    monkeypatch.setattr(query_expansion, "_GATHERED", gathered)
    assert torch.equal(expand_queries(queries, gallery, *lists), whole)


def test_brings_a_query_towards_its_class() -> None:
    centres = unit(20, 32, 3)
    labels = torch.arange(20).repeat_interleave(10)
    gallery = F.normalize(centres[labels] + 0.2 * unit(200, 32, 4) * 32**0.5, dim=1)
    queries = F.normalize(centres + 0.25 * unit(20, 32, 5) * 32**0.5, dim=1)

    def hits(embeddings: torch.Tensor) -> int:
        found = nearest_neighbors(embeddings, gallery, 10)[1]
        return int((labels[found] == torch.arange(20).unsqueeze(1)).sum())

    expanded = expand_queries(queries, gallery, *nearest_neighbors(queries, gallery, 5))
    assert hits(expanded) > hits(queries)


def test_a_query_without_neighbours_stays() -> None:
    queries = unit(2, 3, 6)
    lists = torch.full((2, 3), -torch.inf), torch.full((2, 3), -1)
    torch.testing.assert_close(expand_queries(queries, unit(4, 3, 7), *lists), queries)


def test_bad_input_is_refused() -> None:
    queries, gallery = unit(2, 3, 0), unit(4, 3, 1)
    scores, indices = nearest_neighbors(queries, gallery, 2)
    with pytest.raises(ValueError, match="alpha must be 0 or more; got -1"):
        expand_queries(queries, gallery, scores, indices, alpha=-1)
    with pytest.raises(ValueError, match=r"indices from -1 to 1, rows of the gallery; got \d to [23]"):
        expand_queries(queries, gallery[:2], scores, torch.tensor([[0, 2], [3, 1]]))
    with pytest.raises(ValueError, match=r"shape \(2, k\), one row for each query; got \(1, 2\) and \(1, 2\)"):
        expand_queries(queries, gallery, scores[:1], indices[:1])
    with pytest.raises(TypeError, match=r"indices of int64; got torch.float32 and torch.float32"):
        expand_queries(queries, gallery, scores, scores)
    with pytest.raises(ValueError, match="row 0 lists itself: search with query_ids"):
        augment_database(gallery, *nearest_neighbors(gallery, gallery, 2))
