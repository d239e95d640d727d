"""Losses: pure tensor maths on embeddings and labels, with no model and no process group."""

from .contrastive import ContrastiveLoss
from .cross_batch_memory import CrossBatchMemory
from .external import ExternalLoss
from .koleo import KoLeoLoss
from .normalized_softmax import NormalizedSoftmaxLoss
from .pair_loss import PairLoss
from .retrieval import RetrievalLoss
from .smooth_recall import SmoothRecallLoss
from .supcon import SupConLoss
from .tuple_contrastive import TupleContrastiveLoss

__all__ = [
    "PAIR_LOSSES",
    "ContrastiveLoss",
    "CrossBatchMemory",
    "ExternalLoss",
    "KoLeoLoss",
    "NormalizedSoftmaxLoss",
    "PairLoss",
    "RetrievalLoss",
    "SmoothRecallLoss",
    "SupConLoss",
    "TupleContrastiveLoss",
]

# The pair losses that a run can name, by their `term`: every selectable one that is exported above, the default first.
PAIR_LOSSES: dict[str, type[PairLoss]] = {
    loss.term: loss
    for loss in (ContrastiveLoss, *(globals().get(name) for name in __all__))
    if isinstance(loss, type) and issubclass(loss, PairLoss) and loss is not PairLoss and loss.selectable
}
