"""`mixed_recall`: recall while an index moves from one model to another, with old, mapped and new embeddings."""

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
    """Recall of each way to search.

    Attributes:
        recalls: For each way `recall_at_k` by name, or `overlap_at_k` without labels. The ways are
            `old`: old queries and old index, as before the move;
            `queries_mapped`: new queries that are mapped to old embeddings, and the old index; no image is embedded or
            indexed again;
            `index_mapped`: new queries, and the old index mapped to new embeddings; its vectors change, and no image is
            read;
            `mixed`: new queries, and an index of which a part was embedded again and the rest is mapped;
            `new`: new queries and new index, as after all images were embedded again.
        share_new: Share of the mixed index that was embedded again.
    """

    recalls: Mapping[str, Mapping[str, float]]
    share_new: float

    def table(self) -> str:
        """Return the recalls as a table, in percent."""
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
    """Measure the recall of searches across two models, on images on which the map was not fitted.

    Each image is a query, and is left out of its own results.

    Args:
        embedding_map: The maps between old and new embeddings.
        old: `(num_images, old_dim)` float, embeddings of the old model.
        new: `(num_images, new_dim)` float, embeddings of the new model, of the same images in the same order.
        labels: `(num_images,)` integers or strings; images with the same label match. None: a search in the new
            embeddings is taken as correct, and the measure is overlap_at_k, the share of its first k images that the
            other searches find too.
        ks: Cut-offs of recall_at_k, the share of queries with a matching image among the first k.
        share_new: Share of the mixed index that is embedded again, from 0 to 1, drawn at random.
        seed: Seed of the draw.

    Returns:
        The recall of each way to search.

    Raises:
        TypeError: The embeddings are not floats, or the labels are floats.
        ValueError: The numbers of images or the dimensions do not match, or the share is outside its range.
    """
    if not 0 <= share_new <= 1:
        raise ValueError(f"expected a share_new from 0 to 1; got {share_new}")
    if len(old) != len(new):
        raise ValueError(
            f"expected old and new embeddings of the same images; got {len(old):,} old and {len(new):,} new ones"
        )
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
    """Return for each way and cut-off the share of the results of the new embeddings that is found."""
    found = {
        way: nearest_neighbors(queries, gallery, max(ks), query_ids=rows, gallery_ids=rows)[1]
        for way, (queries, gallery) in searches.items()
    }
    return {
        way: {f"overlap_at_{k}": _overlap(positions[:, :k], found["new"][:, :k]) for k in ks}
        for way, positions in found.items()
    }


def _overlap(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return the share of the wanted positions, `(num_queries, k)` with -1 for none, that are found in the same row."""
    is_wanted = wanted >= 0
    is_found = (wanted[:, :, None] == found[:, None, :]).any(dim=2) & is_wanted  # (num_queries, k)
    return float(is_found.sum() / is_wanted.sum())
