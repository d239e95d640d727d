"""What a search finds while an index is moved from one model to another: recall of old, new and mixed embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ...evaluation.metrics.retrieval import retrieval_metrics
from ...search.neighbors import nearest_neighbors

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...search.exact_codes import Identifiers
    from .embedding_map import EmbeddingMap


@dataclass(frozen=True)
class MixedRecall:
    """Recall by the way of searching.

    Attributes:
        recalls: Way to `recall_at_k` by name, or to `overlap_at_k` where there were no labels:
            `old`: old queries, old index; what there is today.
            `queries_mapped`: new queries mapped back, old index; nothing is embedded or indexed again.
            `index_mapped`: new queries, old index mapped; its vectors change, no image is read.
            `mixed`: new queries, an index part of which was embedded again, the rest mapped.
            `new`: new queries, new index; what embedding everything again gives.
        share_new: Part of the mixed index that was embedded again.
    """

    recalls: Mapping[str, Mapping[str, float]]
    share_new: float

    def table(self) -> str:
        """Lay out the recalls, in percent."""
        names = list(next(iter(self.recalls.values())))
        titles = [name.replace("recall_at_", "R@").replace("_at_", "@") for name in names]
        lines = [f"{'':16}" + "".join(f"{title:>12}" for title in titles)]
        lines += [
            f"{way:16}" + "".join(f"{100 * recalls[name]:12.2f}" for name in names)
            for way, recalls in self.recalls.items()
        ]
        return "\n".join([*lines, f"mixed: {100 * self.share_new:g} % embedded again"])


def mixed_recall(
    embedding_map: EmbeddingMap,
    old: torch.Tensor,
    new: torch.Tensor,
    labels: Identifiers | None,
    *,
    ks: Sequence[int] = (1, 10),
    share_new: float = 0.5,
    seed: int = 0,
) -> MixedRecall:
    """Measure what searching across two models finds, on images that the map was not fitted on.

    Every image is a query, and is left out of its own answer.

    Args:
        embedding_map: From the old to the new embeddings, and back.
        old: `(num_images, old_dim)` float.
        new: `(num_images, new_dim)` float: the same images in the same order.
        labels: `(num_images,)` integers or strings; images of one label belong together. None: what a search in the new
            embeddings finds is right, and measured is overlap_at_k, the share of its first k images that are found too.
        ks: Cut-offs of recall_at_k, the share of queries with a right image among the first k.
        share_new: Part of the mixed index that was embedded again, 0 to 1; drawn at random.
        seed: Of the draw.

    Raises:
        TypeError: Embeddings are not floats, or labels are.
        ValueError: Numbers or dimensions do not match, or the share is outside its range.
    """
    if not 0 <= share_new <= 1:
        raise ValueError(f"expected a share_new from 0 to 1; got {share_new}")
    if len(old) != len(new):
        raise ValueError(f"expected the same images on both sides; got {len(old):,} old and {len(new):,} new ones")
    rows = torch.arange(len(old))
    mapped = embedding_map.to_new(old)
    order = torch.randperm(len(old), generator=torch.Generator().manual_seed(seed)).to(new.device)
    is_new = torch.zeros(len(old), 1, dtype=torch.bool, device=new.device)
    is_new[order[: round(share_new * len(old))]] = True
    searches = {
        "old": (old, old),
        "queries_mapped": (embedding_map.to_old(new), old),
        "index_mapped": (new, mapped),
        "mixed": (new, torch.where(is_new, new.float(), mapped)),
        "new": (new, new),
    }
    if labels is None:
        return MixedRecall(_overlaps(searches, rows, ks), share_new)
    names = [f"recall_at_{k}" for k in ks]
    recalls = {}
    for way, (queries, gallery) in searches.items():
        found = retrieval_metrics(
            queries, labels, gallery, labels, query_ids=rows, gallery_ids=rows, ks=tuple(ks), metrics=("recall_at_k",)
        )
        recalls[way] = {name: float(found[name]) for name in names}
    return MixedRecall(recalls, share_new)


def _overlaps(
    searches: Mapping[str, tuple[torch.Tensor, torch.Tensor]], rows: torch.Tensor, ks: Sequence[int]
) -> dict[str, dict[str, float]]:
    """Return by way and cut-off how much of what the new embeddings find is found."""
    found = {
        way: nearest_neighbors(queries, gallery, max(ks), query_ids=rows, gallery_ids=rows)[1]
        for way, (queries, gallery) in searches.items()
    }
    return {
        way: {f"overlap_at_{k}": _overlap(places[:, :k], found["new"][:, :k]) for k in ks}
        for way, places in found.items()
    }


def _overlap(places: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the share of the wanted places, `(num_queries, k)`, -1 for none, that are in the same row of others."""
    is_wanted = wanted >= 0
    is_found = (wanted[:, :, None] == places[:, None, :]).any(dim=2) & is_wanted  # (num_queries, k)
    return float(is_found.sum() / is_wanted.sum())
