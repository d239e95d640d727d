"""Losses: pure tensor maths on embeddings and labels, with no model and no process group."""

from .contrastive import ContrastiveLoss
from .cross_batch_memory import CrossBatchMemory
from .external import ExternalLoss
from .koleo import KoLeoLoss
from .normalized_softmax import NormalizedSoftmaxLoss
from .retrieval import PAIR_LOSSES, RetrievalLoss
from .smooth_recall import SmoothRecallLoss
from .supcon import SupConLoss

__all__ = [
    "PAIR_LOSSES",
    "ContrastiveLoss",
    "CrossBatchMemory",
    "ExternalLoss",
    "KoLeoLoss",
    "NormalizedSoftmaxLoss",
    "RetrievalLoss",
    "SmoothRecallLoss",
    "SupConLoss",
]
