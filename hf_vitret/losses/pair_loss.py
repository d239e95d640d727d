"""`PairLoss`, the base class of the losses that compare anchors with references, and the contract that they keep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

from .references import Pairs, resolve_pairs


class PairLoss(nn.Module, ABC):
    """Compare each anchor of a batch with references, by their labels, and return one number to minimise.

    This docstring is the contract of a pair loss. A subclass sets ``term``, and other class attributes where their
    defaults do not fit, and writes ``_loss(pairs)``. ``forward`` checks the arguments and calls it.

    Every process of a run calls ``forward`` with its own images as anchors. In a run of several processes, the
    references are the images of all processes, in the same order everywhere, and ``self_index`` names the anchors among
    them; in a run of one process there are no references, and the batch is compared with itself. The mean of the values
    over the processes is minimised. :class:`RetrievalLoss` adds the other terms of the objective. With a memory, it
    calls the loss a second time, with the remembered embeddings as references, which need no gradient.

    ``_loss`` gets :class:`Pairs`: the arguments of ``forward`` after the checks, labels and ``self_index`` as int64,
    and the batch itself as references where none were given. Embeddings have any floating-point dtype. It returns a
    scalar tensor.

    Clauses (``tests/losses/test_pair_losses.py`` checks them for every subclass in this package):

    - Only ``_loss`` computes: the subclass keeps the ``forward`` of ``PairLoss``.
    - ``hf_vitret.losses`` exports the class: ``__init__.py`` imports it and lists it in ``__all__``.
    - A selectable loss has a ``term`` of its own: an identifier that no other selectable loss has, and none of "loss",
      "memory", "koleo" and "pair".
    - A loss with ``memory_by_default`` compares with references: ``uses_references`` is true.
    - Each argument of the constructor has a default, except ``num_classes`` and ``embedding_dim``, which a run sets.
    - The module imports nothing but the standard library, numpy, torch and its neighbours in this package, and no
      ``torch.distributed``: a loss knows no model and no process group.
    - The value is a float32 scalar, computed in float32 with autocast off, whatever the dtype of the embeddings. The
      gradient of each argument has the dtype of that argument.
    - The mean over the processes is the loss of the whole batch, in value and in gradient. So a sum of terms is divided
      by the number of anchors, those without a positive included, and not by the number of pairs or of positives.
    - Where ``uses_references`` is true, the loss has a gradient by the references as well as by the anchors.
    - Where ``uses_references`` is false, the embeddings and labels of the references change nothing.
    - An anchor is not compared with its own row, which ``self_index`` names.
    - The order of the references changes nothing.
    - Where nothing is left to compare an anchor with, the value and the gradient are 0, and the value can be
      differentiated.
    - Identical images, with equal labels or different ones, have a finite value and a finite gradient.
    - An embedding that is not a number makes the value not a number, so that the trainer notices.
    - The value under ``torch.no_grad`` is the value with a gradient.
    - References that are overwritten between forward and backward, as a memory overwrites them, never give a wrong
      gradient: it stays the same, or torch raises an error.
    - ``RetrievalLoss`` takes the loss and reports its value under ``term``, beside ``memory`` where ``uses_references``
      is true.

    To add a loss:

    1. Write ``hf_vitret/losses/<term>.py`` with the class. Its docstring has the formula, the arguments, an example
       (run as a doctest), and the paper with every deviation from it. Where the similarities of all pairs are too many
       to keep for backward, :func:`~hf_vitret.losses.blockwise.differentiate_blockwise` forms the gradient at once.
    2. Import it in ``hf_vitret/losses/__init__.py`` and add it to ``__all__``. ``PAIR_LOSSES``, the choices of
       ``--loss`` and the test of this contract are derived from there.
    3. Write ``tests/losses/test_<term>.py``: value and gradient equal those of a plain loop or of another library.
    4. Describe it in a row of the table in the README.

    Attributes:
        term: Name of the loss: the choice of ``--loss``, and the key of its value in logs.
        uses_references: Whether anchors are compared with the references. Where it is false, the references are only
            checked, and :class:`RetrievalLoss` refuses a memory.
        memory_by_default: Whether a run that sets no ``memory_size`` has a memory as large as the training set.
        selectable: Whether a run can name the loss. False where it needs batches of its own, or is no loss to train
            with alone.

    Example:
        >>> import torch
        >>> class MeanCosineLoss(PairLoss):
        ...     term = "mean_cosine"
        ...
        ...     def _loss(self, pairs):
        ...         with torch.autocast(pairs.embeddings.device.type, enabled=False):
        ...             similarities = pairs.embeddings.float() @ pairs.ref_embeddings.float().t()  # (batch, num_refs)
        ...             sign = torch.where(pairs.labels[:, None] == pairs.ref_labels, -1.0, 1.0)  # (batch, num_refs)
        ...             if pairs.self_index is not None:
        ...                 sign = sign.scatter(1, pairs.self_index[:, None], 0.0)
        ...             return (sign * similarities).sum() / len(pairs.labels)
        >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])
        >>> MeanCosineLoss()(embeddings, torch.tensor([0, 0, 1, 1]))
        tensor(0.2800)
    """

    term: ClassVar[str] = "pair"
    uses_references: ClassVar[bool] = True
    memory_by_default: ClassVar[bool] = False
    selectable: ClassVar[bool] = True

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        ref_embeddings: Tensor | None = None,
        ref_labels: Tensor | None = None,
        *,
        self_index: Tensor | None = None,
    ) -> Tensor:
        """Compute the loss of the anchors against the references.

        Args:
            embeddings: ``(batch, dim)`` float, the anchors, unit L2 norm.
            labels: ``(batch,)`` integer, the labels of the anchors.
            ref_embeddings: ``(num_refs, dim)`` float, unit L2 norm, on the device of ``embeddings``. They get a
                gradient if they require one and the loss uses references. ``None``: the batch is compared with itself,
                each anchor with all others.
            ref_labels: ``(num_refs,)`` integer, the labels of the references; given if ``ref_embeddings`` is.
            self_index: ``(batch,)`` integer in ``[0, num_refs)``, the row of each anchor among the references, which it
                is not compared with. ``None``: no anchor is among the references.

        Returns:
            Scalar float32.

        Raises:
            ValueError: if a shape, a length, a device or an index does not fit, or if the loss demands more of a batch
                (such as labels in a range) than this one has: the docstring of the class says what.
            TypeError: if embeddings are not floating point, or labels or ``self_index`` are not integers.
        """
        return self._loss(resolve_pairs(embeddings, labels, ref_embeddings, ref_labels, self_index))

    @abstractmethod
    def _loss(self, pairs: Pairs) -> Tensor:
        """Return the loss of checked inputs, a float32 scalar; the docstring of the class says what it must keep to."""
