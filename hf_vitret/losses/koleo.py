"""The Kozachenko-Leonenko regulariser: spread embeddings by the distance to their nearest neighbour."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from .pair_loss import PairLoss
from .references import Pairs

Neighbors = Literal["all", "negatives"]

# Anchors in a block of similarities, so that a batch of thousands does not need the matrix of all pairs.
_ROWS = 1024


class KoLeoLoss(PairLoss):
    """Average minus the log of the distance to the nearest neighbour (a differential-entropy estimate).

    ``-1/N sum_i 1/2 log(rho_i^2 + eps^2)`` with ``rho_i`` the Euclidean distance of anchor i to its nearest
    neighbour. Gradient flows to the anchor and to the neighbour; the choice of the neighbour is not
    differentiated. Always computed in float32 with autocast off. Anchors without a neighbour are left out
    of the mean, and if none has one (a batch of one, or of one class with ``"negatives"``), the loss is 0
    and its gradient exactly 0. The loss is at least ``-log 2`` for unit vectors.

    Near ``rho = 0`` the plain ``-log rho`` and its gradient ``1 / rho`` are unbounded, and two copies of one image in a
    batch are enough for ``rho = 0``. Adding ``eps`` inside the log alone, or clamping ``rho``, leaves a gradient of up
    to ``1 / eps`` in a direction that is rounding noise; clamping also gives a nearly collapsed batch, which needs the
    gradient most, none at all. ``1/2 log(rho^2 + eps^2)`` is smooth, its gradient ``rho / (rho^2 + eps^2)`` is at most
    ``1 / (2 eps)`` and falls to 0 with ``rho``: no direction separates duplicates, so they get no gradient. For ``rho``
    above 0.01 the default differs from Eq. (5) by less than 5e-5.

    Args:
        neighbors: where the nearest neighbour is searched. ``"all"`` (the paper): among all other references;
            ``"negatives"``: among the references of other labels. Only ``"negatives"`` reads the labels.
        eps: distance below which the gradient fades, above 0. The default is far below the distance of any two
            different images, and far above the rounding of float32 unit vectors (about 1e-7).

    Raises:
        ValueError: if ``neighbors`` is unknown or ``eps`` is not positive and finite.

    Example:
        Nearest neighbours at distances ``sqrt(0.4)``, ``sqrt(0.08)``, ``sqrt(0.08)`` and ``sqrt(0.4)``:

        >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])
        >>> KoLeoLoss()(embeddings, torch.tensor([0, 0, 1, 1]))
        tensor(0.8605)

    Reference:
        El-Nouby et al., "Training Vision Transformers for Image Retrieval", arXiv 2102.05644, Eq. (5).
        Deviations: ``eps``, which the paper does not have, and ``"negatives"``, the variant of SSCD (Pizzi et al.,
        arXiv 2202.10261), for batches with several images of each class, where the nearest neighbour is mostly a
        positive.
    """

    term: ClassVar[str] = "koleo"
    selectable: ClassVar[bool] = False  # RetrievalLoss adds it to the loss that a run selects

    def __init__(self, neighbors: Neighbors = "all", eps: float = 1e-4) -> None:
        super().__init__()
        if neighbors not in get_args(Neighbors):
            raise ValueError(
                f"Expected neighbors to be one of {get_args(Neighbors)}, got {neighbors!r}; the default is 'all'."
            )
        if not (math.isfinite(eps) and eps > 0):
            raise ValueError(f"Expected a finite eps above 0, a distance, got {eps}; the default is 1e-4.")
        self.neighbors: Neighbors = neighbors
        self.eps = float(eps)

    def _loss(self, pairs: Pairs) -> Tensor:
        with torch.autocast(pairs.embeddings.device.type, enabled=False):
            pairs = pairs._replace(embeddings=pairs.embeddings.float(), ref_embeddings=pairs.ref_embeddings.float())
            if len(pairs.ref_embeddings) == 0:
                return pairs.embeddings.sum() * 0.0
            nearest, has_neighbor = self._nearest(pairs)
            # The difference itself, not sqrt(2 - 2 s), which loses all digits of rho below 3e-4 in float32.
            offsets = pairs.embeddings - pairs.ref_embeddings[nearest]  # (batch, dim)
            terms = -0.5 * torch.log(offsets.square().sum(dim=1) + self.eps**2)  # (batch,)
            return torch.where(has_neighbor, terms, 0.0).sum() / has_neighbor.sum().clamp(min=1)

    @torch.no_grad()
    def _nearest(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Return the row of each anchor's nearest neighbour, int64, and whether it has one, bool, ``(batch,)`` each."""
        best, nearest = [], []
        for start in range(0, len(pairs.labels), _ROWS):
            rows = slice(start, start + _ROWS)
            similarities = pairs.embeddings[rows] @ pairs.ref_embeddings.t()  # (rows, num_refs)
            if pairs.self_index is not None:
                similarities.scatter_(1, pairs.self_index[rows, None], -math.inf)
            if self.neighbors == "negatives":
                similarities.masked_fill_(pairs.labels[rows, None] == pairs.ref_labels, -math.inf)
            closest = similarities.max(dim=1)  # (rows,), (rows,)
            best.append(closest.values)
            nearest.append(closest.indices)
        return torch.cat(nearest), torch.cat(best) != -math.inf

    def extra_repr(self) -> str:
        """Show the settings in ``repr``."""
        return f"neighbors={self.neighbors!r}, eps={self.eps}"
