"""The contrastive loss of tuples: an anchor, its positive, and negatives that were mined for it."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from .references import resolve_pairs

# Added to each coordinate of a difference, in the code that the paper builds on: no distance is then 0.
_OFFSET = 1e-6


class TupleContrastiveLoss(nn.Module):
    """Sum the contrastive terms of Euclidean distances over the tuples of a step.

    ``sum over tuples of sum_j 1/2 y_j D_j^2 + 1/2 (1 - y_j) max(margin - D_j, 0)^2`` with ``D_j`` the distance
    of the tuple's anchor to its j-th other image, and ``y_j`` 1 where that has the anchor's label, else 0. Images of
    different tuples are not compared.

    A sum, not a mean: the learning rate of the paper goes with it. Where the references are the rows of all
    processes, each process's value is its own sum times the number of processes, so that their mean is the sum over
    all tuples, and the gradient averaged over the processes that of one process with all of them.

    Always computed in float32 with autocast off.

    Args:
        margin: Euclidean distance from which on a negative costs nothing, above 0 and at most 2, the largest
            distance of unit vectors.
        num_negatives: negatives in a tuple, at least 1. The rows of a batch are its tuples one after another,
            each of ``2 + num_negatives`` rows: anchor, positive, negatives.

    Raises:
        ValueError: if a setting is outside its range.

    Example:
        One tuple: the positive at distance ``sqrt(0.4)``, a negative at ``sqrt(0.08)`` and one at ``sqrt(2)``,
        beyond the margin: ``0.4 / 2 + (0.85 - 0.2828)^2 / 2``.

        >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.96, 0.28], [0.0, 1.0]])
        >>> TupleContrastiveLoss(num_negatives=2)(embeddings, torch.tensor([0, 0, 1, 2]))
        tensor(0.3608)

    Reference:
        El-Nouby et al., "Training Vision Transformers for Image Retrieval", arXiv 2102.05644, section 4.1: "the
        same optimization and regularization procedure" as Radenovic et al. (arXiv 1711.02512), margin 0.85. The
        form is that of the latter's code (cnnimageretrieval-pytorch), with its 1e-6 inside the norm. With Eq. (1)'s
        cosine in its place the margin would mean another thing: 0.85 as a distance is a cosine of 0.639.
    """

    term: ClassVar[str] = "contrastive"
    uses_references: ClassVar[bool] = False

    def __init__(self, margin: float = 0.85, num_negatives: int = 5) -> None:
        super().__init__()
        if not (math.isfinite(margin) and 0.0 < margin <= 2.0):
            raise ValueError(
                f"Expected a margin above 0 and at most 2, a distance of unit vectors, got {margin}; the paper uses "
                "0.85."
            )
        if num_negatives < 1:
            raise ValueError(f"Expected num_negatives of at least 1, got {num_negatives}; the paper uses 5.")
        self.margin = float(margin)
        self.num_negatives = int(num_negatives)

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        ref_embeddings: Tensor | None = None,
        ref_labels: Tensor | None = None,
        *,
        self_index: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss of the tuples.

        Args:
            embeddings: ``(tuples * (2 + num_negatives), dim)`` float, unit L2 norm, tuple after tuple.
            labels: ``(batch,)`` int64.
            ref_embeddings: ``(processes * batch, dim)`` float: the rows of all processes. They are counted, and
                not compared with; ``None`` where there is one process.
            ref_labels: ``(processes * batch,)`` int64; not looked at.
            self_index: ``(batch,)`` int64; not looked at.

        Returns:
            Scalar float32, at least 0.

        Raises:
            ValueError: if shapes, lengths or devices do not fit, or the rows do not make whole tuples.
            TypeError: if embeddings are not floating point or labels are not integers.
        """
        pairs = resolve_pairs(embeddings, labels, ref_embeddings, ref_labels, self_index)
        size, batch = 2 + self.num_negatives, len(pairs.labels)
        if batch % size:
            raise ValueError(
                f"Expected whole tuples of {size} rows (anchor, positive, {self.num_negatives} negatives), got {batch} "
                f"rows; make the batch a multiple of {size}."
            )
        with torch.autocast(embeddings.device.type, enabled=False):
            tuples = pairs.embeddings.float().reshape(-1, size, embeddings.shape[1])  # (tuples, size, dim)
            offsets = tuples[:, :1] - tuples[:, 1:] + _OFFSET  # (tuples, size - 1, dim)
            squares = offsets.square().sum(dim=2)  # (tuples, size - 1)
            tuple_labels = pairs.labels.reshape(-1, size)
            is_positive = tuple_labels[:, :1] == tuple_labels[:, 1:]  # (tuples, size - 1) bool
            terms = torch.where(is_positive, squares, (self.margin - squares.sqrt()).relu().square())
            return 0.5 * terms.sum() * (len(pairs.ref_labels) / batch)

    def extra_repr(self) -> str:
        """Show the settings in ``repr``."""
        return f"margin={self.margin}, num_negatives={self.num_negatives}"
