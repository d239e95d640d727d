"""Hard negatives against a loop over the sorted pool, one image at a time."""

import doctest

import pytest
import torch
from torch.nn.functional import normalize

from hf_vitret.training.tuples import hardest_negatives as module
from hf_vitret.training.tuples.hardest_negatives import hardest_negatives

Case = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def case(seed: int, num_clusters: int = 7, repeated: bool = False) -> Case:
    generator = torch.Generator().manual_seed(seed)
    anchors = normalize(torch.randn(9, 6, generator=generator), dim=1)
    pool = normalize(torch.randn(60, 6, generator=generator), dim=1)
    if repeated:  # five vectors, twelve times each, so that nearly every score is tied
        pool = pool[:5].repeat(12, 1)
    clusters = torch.randint(num_clusters, (69,), generator=generator) * 11 - 5
    return anchors, clusters[:9], pool, clusters[9:]


def naive(anchors: torch.Tensor, anchor_clusters: torch.Tensor, pool: torch.Tensor, clusters: torch.Tensor, num: int):
    found = []
    for anchor, own in zip(anchors, anchor_clusters.tolist(), strict=True):
        scores = [float((anchor.double() * image.double()).sum().float()) for image in pool]
        met, negatives = {own}, []
        for position in sorted(range(len(pool)), key=lambda position: (-scores[position], position)):
            if int(clusters[position]) not in met and len(negatives) < num:
                met.add(int(clusters[position]))
                negatives.append(position)
        found.append(negatives)
    return found


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("num_negatives", [1, 5])
@pytest.mark.parametrize("seed", range(5))
def test_equals_a_loop_over_the_sorted_pool(seed: int, num_negatives: int, repeated: bool) -> None:
    inputs = case(seed, repeated=repeated)
    assert hardest_negatives(*inputs, num_negatives).tolist() == naive(*inputs, num_negatives)


def test_does_not_depend_on_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = case(0, repeated=True)
    found = []
    for scores in (1, 60, 4 * 60, 2**22):
        monkeypatch.setattr(module, "_SCORES", scores)
        found.append(hardest_negatives(*inputs, 3).tolist())
    assert all(each == found[0] for each in found)


def test_a_pool_of_too_few_clusters_is_refused() -> None:
    anchors, anchor_clusters, pool, clusters = case(0, num_clusters=4)
    clusters[:] = torch.arange(60) % 4
    anchor_clusters[:] = 99
    assert hardest_negatives(anchors, anchor_clusters, pool, clusters, 4).shape == (9, 4)
    anchor_clusters[6] = 2  # three other clusters are left for this anchor
    message = "4 clusters beside the anchor's.* anchor 6, of cluster 2, it holds 3 in 60 images. Enlarge pool_size"
    with pytest.raises(ValueError, match=message):
        hardest_negatives(anchors, anchor_clusters, pool, clusters, 4)


def test_inputs_that_do_not_fit_are_refused() -> None:
    anchors, anchor_clusters, pool, clusters = case(0)
    with pytest.raises(ValueError, match=r"pool_clusters must be \(60,\)"):
        hardest_negatives(anchors, anchor_clusters, pool, clusters[:-1], 2)
    with pytest.raises(ValueError, match="have one embedding dimension"):
        hardest_negatives(anchors, anchor_clusters, pool[:, :5], clusters, 2)
    with pytest.raises(ValueError, match="num_negatives must be at least 1"):
        hardest_negatives(anchors, anchor_clusters, pool, clusters, 0)
    pool[3] = torch.nan
    with pytest.raises(ValueError, match="pool_embeddings must be finite"):
        hardest_negatives(anchors, anchor_clusters, pool, clusters, 2)


def test_example() -> None:
    assert doctest.testmod(module) == (0, 2)
