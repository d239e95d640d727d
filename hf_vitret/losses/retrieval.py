"""The training objective: a pair loss on the batch, the same loss on a memory, and the KoLeo regulariser."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from .contrastive import ContrastiveLoss
from .cross_batch_memory import CrossBatchMemory
from .koleo import KoLeoLoss, Neighbors


class RetrievalLoss(nn.Module):
    """Add the contrastive loss of the batch, the contrastive loss against the memory, and the KoLeo regulariser.

    ``loss = contrastive + memory_weight * memory + koleo_weight * koleo``. Another pair loss can replace the
    contrastive one, in both terms.

    In training mode each call first writes the batch to the memory and then compares each anchor with all rows of the
    memory but its own. So the other images of the step count twice: in the batch term, with a gradient for both images
    of a pair, and in the memory term, as in the official code of the memory. In evaluation mode nothing is written.

    Args:
        margin: similarity below which a negative costs nothing, in ``[-1, 1)``; not used with a ``pair_loss``.
        koleo_weight: weight of the regulariser, at least 0 (the paper's lambda). At 0 the term is still reported, as a
            measure of collapse, but not differentiated.
        memory_size: number of embeddings in the cross-batch memory; 0 for no memory.
        embedding_dim: length of an embedding; needed with a memory.
        memory_weight: weight of the memory term, at least 0. At 0 the term is reported but not differentiated.
        koleo_neighbors: where :class:`KoLeoLoss` searches the nearest neighbour: among ``"all"`` other images (the
            paper) or among the ``"negatives"``, the images of other labels.
        memory_start_step: number of batches in training mode before the memory is first written and compared with;
            until then its term is 0. Embeddings change fastest at the start of training.
        pair_loss: loss that replaces ``ContrastiveLoss(margin)``: a :class:`PairLoss`, or another module with the same
            ``forward`` that returns a scalar, a mean over anchors. The term of the batch is reported under its ``term``
            (``"pair"`` if it has none). If its ``uses_references`` is false, there can be no memory.

    Raises:
        ValueError: if a setting is out of its range or not finite, if ``embedding_dim`` is missing, or if the pair
            loss cannot use a memory.

    Example:
        The memory contains this batch alone, so its term equals that of the batch: ``0.53 + 0.53 + 0.7 * 0.8605``.

        >>> embeddings = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8], [0.0, 1.0]])
        >>> terms = RetrievalLoss(memory_size=8, embedding_dim=2)(embeddings, torch.tensor([0, 0, 1, 1]))
        >>> {name: round(float(term), 4) for name, term in terms.items()}
        {'loss': 1.6624, 'contrastive': 0.53, 'memory': 0.53, 'koleo': 0.8605}

    Reference:
        El-Nouby et al., "Training Vision Transformers for Image Retrieval", arXiv 2102.05644, section 3:
        Eq. (1) + lambda * Eq. (5), margin 0.5, lambda 0.7. The paper does not say how the batch and memory terms are
        added, nor when the memory starts. As in the code of Wang et al. (arXiv 1912.06798), the memory term has weight
        1 and the batch is written first. Unlike in that code, the memory is used from the first step, however few rows
        it has (that code waits 1,000 steps; see ``memory_start_step``), and self pairs are left out by their row (that
        code drops every positive with a similarity above 1 - 1e-5).
    """

    step: Tensor

    def __init__(
        self,
        margin: float = 0.5,
        koleo_weight: float = 0.7,
        memory_size: int = 0,
        embedding_dim: int | None = None,
        memory_weight: float = 1.0,
        koleo_neighbors: Neighbors = "all",
        memory_start_step: int = 0,
        pair_loss: nn.Module | None = None,
    ) -> None:
        super().__init__()
        for name, weight in (("koleo_weight", koleo_weight), ("memory_weight", memory_weight)):
            if not (math.isfinite(weight) and weight >= 0):
                raise ValueError(f"Expected a finite {name} of at least 0, got {weight}; 0 switches the term off.")
        if memory_size < 0:
            raise ValueError(f"Expected memory_size of at least 0, got {memory_size}; 0 trains without a memory.")
        if memory_size > 0 and embedding_dim is None:
            raise ValueError(
                f"Expected embedding_dim with a memory of {memory_size} rows, got None; pass the model's embedding_dim."
            )
        if memory_start_step < 0:
            raise ValueError(
                f"Expected memory_start_step of at least 0, got {memory_start_step}; 0 uses the memory at once."
            )
        if memory_size > 0 and not getattr(pair_loss, "uses_references", True):
            raise ValueError(
                f"Expected memory_size=0 with {type(pair_loss).__name__}, got {memory_size}; this loss compares no "
                "image with a remembered one, so a memory would change nothing. Leave memory_size out."
            )
        self.koleo_weight = float(koleo_weight)
        self.memory_weight = float(memory_weight)
        self.memory_start_step = int(memory_start_step)
        self.embedding_dim = embedding_dim
        self.pair_loss = ContrastiveLoss(margin) if pair_loss is None else pair_loss
        self._term = str(getattr(self.pair_loss, "term", "pair"))
        self.koleo = KoLeoLoss(koleo_neighbors)
        self.memory = (
            CrossBatchMemory(memory_size, embedding_dim) if memory_size > 0 and embedding_dim is not None else None
        )
        # A Python copy of the buffer `step`: to read the buffer, the host would wait for the device at every step.
        self._step = 0
        if self.memory is not None:
            self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    # Not worth compiling: the memory changes its size and its rows, so a compiled graph would be valid for one step.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        ref_embeddings: Tensor | None = None,
        ref_labels: Tensor | None = None,
        *,
        self_index: Tensor | None = None,
        memory_embeddings: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the objective and, in training mode, write the batch to the memory.

        Args:
            embeddings: ``(batch, dim)`` float, unit L2 norm.
            labels: ``(batch,)`` integer, the labels of the embeddings.
            ref_embeddings: ``(num_refs, dim)`` float, unit L2 norm: the embeddings of all processes, in the same order
                in each, gathered with gradient. All of them are written to the memory, so that it is the same in every
                process. ``None``: the batch is compared with itself.
            ref_labels: ``(num_refs,)`` integer, the labels of the references; given if ``ref_embeddings`` is.
            self_index: ``(batch,)`` integer in ``[0, num_refs)``, the row of each anchor among the references.
                ``None``: no anchor is among the references.
            memory_embeddings: ``(num_refs, dim)`` float (``(batch, dim)`` without references), unit L2 norm: embeddings
                of the same images in the same order, by a momentum encoder, which are written to the memory in place of
                the others. An anchor's own image is left out of the memory term all the same.

        Returns:
            Scalars, float32: ``"loss"``, the weighted sum to differentiate, and its parts, unweighted and detached: the
            term of the batch under the name of the pair loss (``"contrastive"``), ``"memory"`` (only with a memory)
            and ``"koleo"``.

        Raises:
            ValueError: if a shape, a length, a device or an index does not fit, if there are more rows to write than
                the memory has, or if ``memory_embeddings`` are given without a memory.
            TypeError: if embeddings are not floating point, if labels or ``self_index`` are not integers, or if the
                pair loss does not return a tensor.
        """
        loss = self.pair_loss(embeddings, labels, ref_embeddings, ref_labels, self_index=self_index)
        if not isinstance(loss, Tensor):
            raise TypeError(
                f"Expected {type(self.pair_loss).__name__} to return a scalar tensor, got {type(loss).__name__}; a "
                "loss that returns named terms is a whole objective. Use it in place of RetrievalLoss."
            )
        if self.embedding_dim is not None and embeddings.shape[1] != self.embedding_dim:
            raise ValueError(
                f"Expected embeddings of dimension {self.embedding_dim}, the loss's embedding_dim, got "
                f"{embeddings.shape[1]}; build the loss with embedding_dim={embeddings.shape[1]}."
            )
        terms = {self._term: loss.detach()}
        rows, row_labels = (
            (embeddings, labels) if ref_embeddings is None or ref_labels is None else (ref_embeddings, ref_labels)
        )
        if memory_embeddings is not None:
            self._check_memory_embeddings(memory_embeddings, rows)
            rows = memory_embeddings
        if self.memory is not None:
            slots = self._remember(self.memory, rows, row_labels)  # (rows,)
            if slots is not None and ref_embeddings is not None:
                slots = None if self_index is None else slots[self_index]  # (batch,)
            memory = embeddings.new_zeros((), dtype=torch.float32)
            if self._step > self.memory_start_step and len(self.memory) > 0:
                with torch.set_grad_enabled(torch.is_grad_enabled() and self.memory_weight > 0):
                    memory = self.pair_loss(embeddings, labels, *self.memory.contents(), self_index=slots)
            loss = loss + self.memory_weight * memory if self.memory_weight > 0 else loss
            terms["memory"] = memory.detach()
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.koleo_weight > 0):
            koleo = self.koleo(embeddings, labels, ref_embeddings, ref_labels, self_index=self_index)
        loss = loss + self.koleo_weight * koleo if self.koleo_weight > 0 else loss
        return {"loss": loss, **terms, "koleo": koleo.detach()}

    def extra_repr(self) -> str:
        """Show the weights in ``repr``; the parts show their own settings."""
        return (
            f"koleo_weight={self.koleo_weight}, memory_weight={self.memory_weight}, "
            f"memory_start_step={self.memory_start_step}"
        )

    def _remember(self, memory: CrossBatchMemory, rows: Tensor, labels: Tensor) -> Tensor | None:
        """Count a training batch and write it to the memory; return the rows written, ``None`` if there are none."""
        if not self.training:
            return None
        slots = memory.enqueue(rows, labels) if self._step >= self.memory_start_step else None
        self._step += 1
        self.step.fill_(self._step)
        return slots

    def _check_memory_embeddings(self, memory_embeddings: Tensor, rows: Tensor) -> None:
        if self.memory is None:
            raise ValueError(
                "Expected memory_embeddings only with a memory, got them without one; build the loss with memory_size, "
                "or drop the momentum encoder."
            )
        if memory_embeddings.shape != rows.shape:
            raise ValueError(
                f"Expected memory_embeddings of shape {tuple(rows.shape)}, one row for each embedding that they "
                f"replace, got {tuple(memory_embeddings.shape)}; with references, gather them from all processes too."
            )

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        if self.memory is not None:
            self._step = int(self.step)
