"""Exact evaluation of retrieval models."""

from hf_vitret.evaluation.metrics.retrieval import retrieval_metrics

__all__ = ["retrieval_metrics"]
