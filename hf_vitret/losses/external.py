"""Losses of other libraries, made to fit ours."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn

from .references import resolve_pairs


class ExternalLoss(nn.Module):
    """Train with any loss that takes ``(embeddings, labels)``, such as those of pytorch-metric-learning.

    What the loss is called with depends on the references:

    - none: ``loss(embeddings, labels)``;
    - with ``self_index``, the rows of all processes: ``loss(ref_embeddings, ref_labels)``. Every process
      computes the loss of the whole step. Our own losses are means over anchors, so each process can take its
      own anchors and the mean over processes is the loss of the whole; others are means over pairs, triplets
      or proxies, or mine in the batch, and do not split that way. This is the one exact way for all of them:
      the gather sums the gradient of a row over the W processes, which are equal, and the average over
      processes that follows divides by W. It costs W times the loss alone needs. A loss that draws random
      numbers has to draw the same ones in every process;
    - without ``self_index``: ``loss(embeddings, labels, ref_emb=..., ref_labels=...)``, where it has these.

    The wrapped loss runs in float32 with autocast off. Its parameters (proxies) are this module's: give them
    to the optimizer, and start from the same values in every process.

    Args:
        loss: a module called with ``(embeddings, labels)`` that returns a scalar tensor.

    Raises:
        TypeError: if ``loss`` is not a module.

    Example:
        Of the eight triplets two come within the margin, both by ``sqrt(0.4) - sqrt(0.08) + 0.2``; that loss
        averages over these.

        >>> from pytorch_metric_learning.losses import TripletMarginLoss
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])
        >>> ExternalLoss(TripletMarginLoss(margin=0.2))(embeddings, torch.tensor([0, 0, 1, 1]))
        {'loss': tensor(0.5496)}

    Reference:
        Musgrave et al., "PyTorch Metric Learning", arXiv 2008.09164: the signature ``(embeddings, labels,
        indices_tuple=None, ref_emb=None, ref_labels=None)``.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        if not isinstance(loss, nn.Module):
            raise TypeError(
                f"Expected a loss that is a torch.nn.Module, got {type(loss).__name__}; pass an instance, not its "
                "class, and put a function into a module's forward."
            )
        self.loss = loss
        parameters = inspect.signature(loss.forward).parameters
        self._takes_references = {"ref_emb", "ref_labels"} <= parameters.keys()

    # Others' losses build lists of pairs, whose lengths differ with every batch.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        ref_embeddings: Tensor | None = None,
        ref_labels: Tensor | None = None,
        *,
        self_index: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the wrapped loss; see the class for what it is called with.

        Args:
            embeddings: ``(batch, dim)`` float, unit L2 norm.
            labels: ``(batch,)`` int64.
            ref_embeddings: ``(num_refs, dim)`` float, unit L2 norm. With ``self_index`` the rows of all
                processes, in one order that is the same on each, gathered with a gradient that is summed over
                the processes.
            ref_labels: ``(num_refs,)`` int64.
            self_index: ``(batch,)`` int64, the row of each anchor among the references; ``None`` when no
                anchor is among them.

        Returns:
            ``"loss"``, a scalar float32.

        Raises:
            ValueError: if shapes, lengths or devices do not fit, the loss takes no references and cannot do
                without, or it returns more than one number.
            TypeError: if embeddings are not floating point, labels are not integers, or the loss returns no
                tensor.
        """
        pairs = resolve_pairs(embeddings, labels, ref_embeddings, ref_labels, self_index)
        refs, others = pairs.ref_embeddings.float(), {}
        if self_index is None and ref_embeddings is not None:
            if not self._takes_references:
                raise ValueError(
                    f"Expected no references without self_index, got {len(refs)}: {type(self.loss).__name__} has no "
                    "ref_emb and ref_labels to pass them as. Pass self_index where the anchors are among them, or "
                    "leave the references out."
                )
            others = {"ref_emb": refs, "ref_labels": pairs.ref_labels}
        with torch.autocast(embeddings.device.type, enabled=False):
            if others:
                value = self.loss(pairs.embeddings.float(), pairs.labels, **others)
            else:
                value = self.loss(refs, pairs.ref_labels)
        if not isinstance(value, Tensor):
            raise TypeError(
                f"Expected {type(self.loss).__name__} to return a scalar tensor, got {type(value).__name__}; wrap it "
                "in a module that adds its terms up."
            )
        if value.ndim != 0:
            raise ValueError(
                f"Expected {type(self.loss).__name__} to return a scalar, got shape {tuple(value.shape)}; reduce it, "
                "e.g. with a mean (a reducer, in pytorch-metric-learning)."
            )
        return {"loss": value.float()}
