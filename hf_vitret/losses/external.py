"""`ExternalLoss`: a loss of another library, behind the interface that the trainer calls."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn

from .references import resolve_pairs


class ExternalLoss(nn.Module):
    """Train with any loss that takes ``(embeddings, labels)``, such as those of pytorch-metric-learning.

    The arguments of the wrapped loss depend on the references:

    - Without references: ``loss(embeddings, labels)``.
    - With references and ``self_index``, as in a run of several processes: ``loss(ref_embeddings, ref_labels)``. Every
      process computes the loss of the images of all processes. A :class:`PairLoss` is a mean over anchors: each process
      computes the terms of its own anchors, and the mean over the processes is the loss of the whole batch. Other
      losses are means over pairs, triplets or proxies, or choose pairs within the batch, and cannot be split that way.
      Computing the whole loss everywhere is exact for all of them: the gather sums the gradient of a row over the W
      processes, which all have the same, and the average over the processes divides the sum by W. It costs W times the
      computation of the loss. A loss that draws random numbers has to draw the same ones in every process.
    - With references and no ``self_index``: ``loss(embeddings, labels, ref_emb=..., ref_labels=...)``, for losses with
      these parameters.

    The wrapped loss runs in float32 with autocast off. Its parameters (proxies) are parameters of this module: give
    them to the optimizer, and start them from the same values in every process.

    Args:
        loss: a module called with ``(embeddings, labels)`` that returns a scalar tensor.

    Raises:
        TypeError: if ``loss`` is not a module.

    Example:
        Two of the eight triplets violate the margin, both by ``sqrt(0.4) - sqrt(0.08) + 0.2``, and this loss averages
        over the violations.

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
                "class, and put a function into the forward of a module."
            )
        self.loss = loss
        parameters = inspect.signature(loss.forward).parameters
        self._takes_references = {"ref_emb", "ref_labels"} <= parameters.keys()

    # Not worth compiling: losses of other libraries build lists of pairs, whose lengths differ with every batch.
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
        """Compute the wrapped loss of a batch; the docstring of the class says with which arguments.

        Args:
            embeddings: ``(batch, dim)`` float, unit L2 norm.
            labels: ``(batch,)`` integer, the labels of the embeddings.
            ref_embeddings: ``(num_refs, dim)`` float, unit L2 norm. With ``self_index`` they are the embeddings of all
                processes, in the same order in each, gathered so that their gradient is summed over the processes.
                ``None``: the loss of the batch alone.
            ref_labels: ``(num_refs,)`` integer, the labels of the references; given if ``ref_embeddings`` is.
            self_index: ``(batch,)`` integer in ``[0, num_refs)``, the row of each anchor among the references.
                ``None``: no anchor is among the references.

        Returns:
            ``"loss"``, a scalar float32.

        Raises:
            ValueError: if a shape, a length, a device or an index does not fit, if references come without
                ``self_index`` and the wrapped loss takes none, or if it returns more than one number.
            TypeError: if embeddings are not floating point, if labels or ``self_index`` are not integers, or if the
                wrapped loss does not return a tensor.
        """
        pairs = resolve_pairs(embeddings, labels, ref_embeddings, ref_labels, self_index)
        refs, others = pairs.ref_embeddings.float(), {}
        if self_index is None and ref_embeddings is not None:
            if not self._takes_references:
                raise ValueError(
                    f"Expected no references without self_index, got {len(refs)}: {type(self.loss).__name__} has no "
                    "parameters ref_emb and ref_labels. Pass self_index if the anchors are among the references, "
                    "or leave the references out."
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
                "in a module that adds up its terms."
            )
        if value.ndim != 0:
            raise ValueError(
                f"Expected {type(self.loss).__name__} to return a scalar, got shape {tuple(value.shape)}; reduce it, "
                "e.g. with a mean (a reducer, in pytorch-metric-learning)."
            )
        return {"loss": value.float()}
