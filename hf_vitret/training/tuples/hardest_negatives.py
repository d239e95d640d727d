"""Hard-negative search: the most similar images of other clusters in a pool, at most one of each cluster."""

from __future__ import annotations

import torch

from ...evaluation.ranking.exact_scores import ExactScores
from ...search.inner_products import check_embeddings, check_same_dim

# Scores held at once: 16 MiB, 190 anchors with a pool of 22,000.
_SCORES = 2**22


@torch.no_grad()
def hardest_negatives(
    anchor_embeddings: torch.Tensor,
    anchor_clusters: torch.Tensor,
    pool_embeddings: torch.Tensor,
    pool_clusters: torch.Tensor,
    num_negatives: int,
) -> torch.Tensor:
    """Find for each anchor the most similar images of a pool that are of other clusters.

    The images of the pool are taken by descending inner product with the anchor. An image is left out if its cluster is
    that of the anchor or of an image taken before. Images of equal score are taken in the order of the pool. Scores are
    correct to the last digit of float32 (`ExactScores`), so that the result does not depend on the number of anchors
    scored at once, on threads or on the device.

    Args:
        anchor_embeddings: `(num_anchors, dim)` float32, on the CPU or a CUDA device, which must support float64.
        anchor_clusters: `(num_anchors,)` int64, the cluster of each anchor, on any device.
        pool_embeddings: `(pool_size, dim)` float32, on the device of the anchors.
        pool_clusters: `(pool_size,)` int64, the cluster of each image in the pool, on any device.
        num_negatives: Number of negatives for each anchor, at least 1.

    Returns:
        `(num_anchors, num_negatives)` int64 rows of the pool, hardest first, on the device of the anchors.

    Raises:
        ValueError: The pool has fewer clusters, not counting that of the anchor, than `num_negatives`; or shapes or
            dimensions do not fit, or embeddings are not finite.
        TypeError: Embeddings are not floating point.

    Example:
        Row 1 is of the same cluster as row 0, which is harder, and row 3 is of the anchor's cluster.

        >>> pool = torch.tensor([[0.96, 0.28], [0.8, 0.6], [0.6, 0.8], [1.0, 0.0]])
        >>> hardest_negatives(torch.tensor([[1.0, 0.0]]), torch.tensor([7]), pool, torch.tensor([1, 1, 2, 7]), 2)
        tensor([[0, 2]])

    Reference:
        Radenovic et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", arXiv 1711.02512, section 3.3:
        at most one negative of each 3-D model.
    """
    for name, embeddings, clusters in (
        ("anchor", anchor_embeddings, anchor_clusters),
        ("pool", pool_embeddings, pool_clusters),
    ):
        check_embeddings(embeddings, f"{name}_embeddings")
        if clusters.shape != embeddings.shape[:1]:
            raise ValueError(
                f"{name}_clusters must be ({len(embeddings)},), one for each embedding; got {tuple(clusters.shape)}."
            )
    check_same_dim(anchor_embeddings, pool_embeddings)
    check_clusters(anchor_clusters, pool_clusters, num_negatives)
    device = anchor_embeddings.device
    clusters, anchors = pool_clusters.to(device), anchor_clusters.to(device)
    exact = ExactScores(anchor_embeddings, pool_embeddings)
    size = max(1, _SCORES // len(clusters))
    chunks = []
    for start in range(0, len(anchors), size):
        rows = slice(start, start + size)
        scores = exact.of_rows(rows)  # (rows, pool)
        taken, found = anchors[rows], []  # (rows,)
        for _ in range(num_negatives):
            scores.masked_fill_(taken[:, None] == clusters, -torch.inf)
            best = scores.amax(dim=1, keepdim=True)  # (rows, 1)
            row, column = (scores == best).nonzero().unbind(dim=1)  # (hits,) each, in order
            # The first hit of each row; argmax does not guarantee the first one among equals.
            position = column[torch.searchsorted(row, torch.arange(len(scores), device=device))]  # (rows,)
            taken = clusters[position]
            found.append(position)
        chunks.append(torch.stack(found, dim=1))
    return torch.cat(chunks)


def check_clusters(anchor_clusters: torch.Tensor, pool_clusters: torch.Tensor, num_negatives: int) -> None:
    """Check that a pool has enough clusters other than that of each anchor; this needs no embeddings.

    Args:
        anchor_clusters: `(num_anchors,)` int64, the cluster of each anchor.
        pool_clusters: `(pool_size,)` int64, the cluster of each image in the pool.
        num_negatives: Number of negatives for each anchor.

    Raises:
        ValueError: The pool has too few clusters for an anchor, or `num_negatives` is below 1.
    """
    if num_negatives < 1:
        raise ValueError(f"num_negatives must be at least 1; got {num_negatives}.")
    present = torch.unique(pool_clusters)
    others = len(present) - torch.isin(anchor_clusters, present.to(anchor_clusters.device)).long()  # (num_anchors,)
    if len(others) and int(others.min()) < num_negatives:
        anchor = int(others.argmin())
        raise ValueError(
            f"the pool must hold images of {num_negatives} clusters beside the anchor's, one for each negative; for "
            f"anchor {anchor}, of cluster {int(anchor_clusters[anchor])}, it holds {int(others[anchor])} in "
            f"{len(pool_clusters)} images. Enlarge pool_size, ask for fewer negatives (num_negatives), or train on "
            "images of more things."
        )
