"""Losses: pure tensor maths on embeddings and labels, with no model and no process group."""

from .contrastive import ContrastiveLoss
from .cross_batch_memory import CrossBatchMemory
from .koleo import KoLeoLoss
from .retrieval import RetrievalLoss

__all__ = ["ContrastiveLoss", "CrossBatchMemory", "KoLeoLoss", "RetrievalLoss"]
