"""The supervised contrastive loss: InfoNCE with every reference of the anchor's label as a positive."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import ClassVar, Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from .blockwise import differentiate_blockwise
from .chunks import chunk_rows
from .pair_loss import PairLoss
from .references import Pairs

Denominator = Literal["all", "negatives"]

# Similarities in a block: 4 MiB, beside a few intermediates of that size.
_BLOCK = 2**20
# Least number of references in a block: products with fewer are slow.
_MIN_CHUNK = 256


class SupConLoss(PairLoss):
    """Average the negative log-softmax of the positives over the references, then over the anchors.

    With ``t`` the temperature, ``P_i`` the references of anchor i's label and ``A_i`` all references, both without the
    anchor itself:

    - ``"all"``: ``-1/N sum_i 1/|P_i| sum_{p in P_i} log( exp(s_ip / t) / sum_{a in A_i} exp(s_ia / t) )``;
    - ``"negatives"``: the sum in the denominator is over p and the references of other labels alone, so
      positives do not compete with each other (InfoNCE, NT-Xent, with labels).

    N is the number of all anchors; one without a positive adds 0. (A mean over the anchors with a positive would have
    another divisor in each process, and the mean over the processes would not be the loss of the whole batch.)

    Always computed in float32 with autocast off. Two passes over blocks of references are made (three with
    ``"negatives"``, whose weights depend on complete sums), and the last one forms the gradient, so a memory of any
    size costs a few small blocks of similarities. The loss can be differentiated once.

    Args:
        temperature: divisor of the similarities, above 0.
        denominator: ``"all"`` (SupCon) or ``"negatives"`` (InfoNCE).

    Raises:
        ValueError: if ``temperature`` is not positive and finite or ``denominator`` is unknown.

    Example:
        Two classes at right angles, each of two identical points. The exponential is ``e`` for the positive and 1 for
        each of the two negatives: ``log((e + 2) / e)``.

        >>> embeddings = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
        >>> SupConLoss(temperature=1.0)(embeddings, torch.tensor([0, 0, 1, 1]))
        tensor(0.5514)

    Reference:
        Khosla et al., "Supervised Contrastive Learning", arXiv 2004.11362, Eq. (2), the mean over positives
        outside the log. Deviations: the sum over anchors is divided by their number; anchors are compared with
        references; the default temperature is 0.1, as in that paper's experiments. ``"negatives"``: the NT-Xent of Chen
        et al., arXiv 2002.05709, Eq. (1), for each positive by itself.
    """

    term: ClassVar[str] = "supcon"
    memory_by_default: ClassVar[bool] = True

    def __init__(self, temperature: float = 0.1, denominator: Denominator = "all") -> None:
        super().__init__()
        if not (math.isfinite(temperature) and temperature > 0):
            raise ValueError(f"Expected a finite temperature above 0, got {temperature}; the default is 0.1.")
        if denominator not in get_args(Denominator):
            raise ValueError(
                f"Expected denominator to be one of {get_args(Denominator)}, got {denominator!r}; the default is 'all'."
            )
        self.temperature = float(temperature)
        self.denominator: Denominator = denominator

    # Not worth compiling: nearly all of it is matrix products, and the blocks differ with every batch.
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def _loss(self, pairs: Pairs) -> Tensor:
        blockwise_pass = partial(_blockwise_pass, temperature=self.temperature, denominator=self.denominator)
        return differentiate_blockwise(blockwise_pass, pairs)

    def extra_repr(self) -> str:
        """Show the settings in ``repr``."""
        return f"temperature={self.temperature}, denominator={self.denominator!r}"


class _Chunk(NamedTuple):
    rows: slice  # of the references
    refs: Tensor  # (chunk, dim) float32
    logits: Tensor  # (batch, chunk) float32
    positive: Tensor  # (batch, chunk) bool, false for the anchors themselves
    summed: Tensor  # (batch, chunk) float32: the logits that are summed in the denominator, -inf elsewhere


def _chunks(pairs: Pairs, temperature: float, denominator: Denominator) -> Iterator[_Chunk]:
    scaled = pairs.embeddings.float() / temperature  # (batch, dim)
    num_refs = len(pairs.ref_embeddings)
    chunk_size = chunk_rows(len(scaled), scaled.device, block=_BLOCK, least=_MIN_CHUNK)
    for start in range(0, num_refs, chunk_size):
        rows = slice(start, min(start + chunk_size, num_refs))
        refs = pairs.ref_embeddings[rows].float()  # (chunk, dim)
        logits = scaled @ refs.t()  # (batch, chunk)
        positive = pairs.labels[:, None] == pairs.ref_labels[rows]  # (batch, chunk)
        left_out = positive if denominator == "negatives" else torch.zeros_like(positive)  # (batch, chunk)
        if pairs.self_index is not None:
            own = pairs.self_index[:, None] == torch.arange(rows.start, rows.stop, device=logits.device)
            left_out = left_out | own
            positive = positive & ~own
        yield _Chunk(rows, refs, logits, positive, logits.masked_fill(left_out, -math.inf))


def _blockwise_pass(
    pairs: Pairs, needs_grad: bool, needs_ref_grad: bool, *, temperature: float, denominator: Denominator
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Return the loss and its gradients by anchors and references, float32."""
    anchors = pairs.embeddings.float()  # (batch, dim)
    batch = len(anchors)
    log_sum = anchors.new_full((batch,), -math.inf)  # (batch,) log of the denominator
    num_positives, positive_sum = anchors.new_zeros(batch), anchors.new_zeros(batch)  # (batch,), (batch,)
    for _, _, logits, positive, summed in _chunks(pairs, temperature, denominator):
        log_sum = torch.logaddexp(log_sum, summed.logsumexp(dim=1))
        num_positives += positive.sum(dim=1)
        positive_sum += torch.where(positive, logits, 0.0).sum(dim=1)
    share = torch.where(num_positives > 0, 1.0 / num_positives.clamp(min=1.0), 0.0)  # (batch,) weight of one positive
    if denominator == "all":
        terms = torch.where(num_positives > 0, log_sum - share * positive_sum, 0.0)  # (batch,)
        push = (num_positives > 0).float()  # (batch,) d term / d log_sum
    else:
        terms, push = torch.zeros_like(share), torch.zeros_like(share)
        for _, _, logits, positive, _ in _chunks(pairs, temperature, denominator):
            deficit = log_sum[:, None] - logits  # (batch, chunk)
            terms += share * torch.where(positive, nn.functional.softplus(deficit), 0.0).sum(dim=1)
            push += share * torch.where(positive, deficit.sigmoid(), 0.0).sum(dim=1)
    loss = terms.sum() / batch
    if not (needs_grad or needs_ref_grad):
        return loss, None, None
    grad = torch.zeros_like(anchors) if needs_grad else None  # (batch, dim)
    ref_grad = anchors.new_empty(pairs.ref_embeddings.shape) if needs_ref_grad else None  # (num_refs, dim)
    # An empty denominator has a log_sum of -inf. Its logits are -inf too, and their exponentials have to be 0: any
    # finite number may be subtracted there.
    shift = torch.where(log_sum == -math.inf, 0.0, log_sum)[:, None]  # (batch, 1)
    for rows, refs, logits, positive, summed in _chunks(pairs, temperature, denominator):
        slopes = (summed - shift).exp_().mul_(push[:, None])  # (batch, chunk) d terms / d logits
        pull = share[:, None]  # (batch, 1)
        if denominator == "negatives":
            pull = pull * (log_sum[:, None] - logits).sigmoid_()  # (batch, chunk)
        slopes.sub_(torch.where(positive, pull, 0.0)).div_(temperature * batch)
        if grad is not None:
            grad.addmm_(slopes, refs)
        if ref_grad is not None:
            torch.mm(slopes.t(), anchors, out=ref_grad[rows])
    return loss, grad, ref_grad
