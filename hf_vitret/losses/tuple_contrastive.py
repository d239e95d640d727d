"""The contrastive loss of tuples: each has an anchor, a positive, and negatives that were mined for the anchor."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from .pair_loss import PairLoss
from .references import Pairs

# Added to each coordinate of a difference, as in the code that the paper builds on, so that no distance is 0.
_OFFSET = 1e-6


class TupleContrastiveLoss(PairLoss):
    """Sum the contrastive terms of Euclidean distances over the tuples of a step.

    ``sum over tuples of sum_j 1/2 y_j D_j^2 + 1/2 (1 - y_j) max(margin - D_j, 0)^2`` with ``D_j`` the distance
    of the tuple's anchor to its j-th other image, and ``y_j`` 1 where that image has the anchor's label, else 0. Images
    of different tuples are not compared.

    The loss is a sum, not a mean: the paper's learning rate is for the sum. References are not compared with; only
    their number is used. In a run of several processes the references are the images of all of them, so the number of
    references divided by the batch is the number of processes. Each process multiplies its own sum by it, so that the
    mean over the processes is the sum over all tuples, in value and in gradient.

    Always computed in float32 with autocast off. ``forward`` raises a ``ValueError`` if the rows of a batch are not
    whole tuples.

    Args:
        margin: Euclidean distance at and above which a negative costs nothing, above 0 and at most 2, the largest
            distance of unit vectors.
        num_negatives: number of negatives in a tuple, at least 1. The rows of a batch are its tuples one after another,
            each of ``2 + num_negatives`` rows: anchor, positive, negatives.

    Raises:
        ValueError: if a setting is outside its range.

    Example:
        One tuple, with the positive at distance ``sqrt(0.4)``, one negative at ``sqrt(0.08)``, and one at ``sqrt(2)``,
        which is beyond the margin: ``0.4 / 2 + (0.85 - 0.2828)^2 / 2``.

        >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.96, 0.28], [0.0, 1.0]])
        >>> TupleContrastiveLoss(num_negatives=2)(embeddings, torch.tensor([0, 0, 1, 2]))
        tensor(0.3608)

    Reference:
        El-Nouby et al., "Training Vision Transformers for Image Retrieval", arXiv 2102.05644, section 4.1: "the
        same optimization and regularization procedure" as Radenovic et al. (arXiv 1711.02512), margin 0.85. The formula
        is that of Radenovic et al.'s code (cnnimageretrieval-pytorch), with its 1e-6 inside the norm. With the cosine
        of Eq. (1) the margin would have another meaning: a distance of 0.85 is a cosine of 0.639.
    """

    term: ClassVar[str] = "contrastive"
    uses_references: ClassVar[bool] = False
    selectable: ClassVar[bool] = False  # it needs batches of tuples, which TupleTrainer makes

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

    def _loss(self, pairs: Pairs) -> Tensor:
        embeddings = pairs.embeddings
        size, batch = 2 + self.num_negatives, len(pairs.labels)
        if batch % size:
            raise ValueError(
                f"Expected whole tuples of {size} rows (anchor, positive, {self.num_negatives} negatives), got {batch} "
                f"rows; make the batch a multiple of {size}."
            )
        with torch.autocast(embeddings.device.type, enabled=False):
            tuples = embeddings.float().reshape(-1, size, embeddings.shape[1])  # (tuples, size, dim)
            offsets = tuples[:, :1] - tuples[:, 1:] + _OFFSET  # (tuples, size - 1, dim)
            squares = offsets.square().sum(dim=2)  # (tuples, size - 1)
            labels = pairs.labels.reshape(-1, size)  # (tuples, size)
            is_positive = labels[:, :1] == labels[:, 1:]  # (tuples, size - 1) bool
            terms = torch.where(is_positive, squares, (self.margin - squares.sqrt()).relu().square())
            return 0.5 * terms.sum() * (len(pairs.ref_labels) / batch)

    def extra_repr(self) -> str:
        """Show the settings in ``repr``."""
        return f"margin={self.margin}, num_negatives={self.num_negatives}"
